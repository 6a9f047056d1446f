import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseAuthority } from '#hbone/authority.ts';
import { authorityText } from '#tests/support/authority.ts';

describe('parseAuthority()', () => {
  for (const [text, canonical] of [
    ['10.0.0.1:80', '10.0.0.1:80'],
    ['10.0.0.1:1', '10.0.0.1:1'],
    ['10.0.0.1:65535', '10.0.0.1:65535'],
    ['[2001:db8::1]:8080', '[2001:db8::1]:8080'],
    ['[2001:DB8:0:0::1]:8080', '[2001:db8::1]:8080'],
    ['[::ffff:10.0.0.1]:80', '10.0.0.1:80'],
  ] as const) {
    it(`reads the address ${text}`, () => {
      const authority = parseAuthority(text);
      expect(authority?.kind).to.equal('address');
      expect(authorityText(authority!)).to.equal(canonical);
    });
  }

  for (const [text, canonical] of [
    ['web.shop.svc.cluster.local:80', 'web.shop.svc.cluster.local:80'],
    ['WEB.Shop:443', 'web.shop:443'],
    ['localhost:8080', 'localhost:8080'],
    ['my_service.a-b.example:80', 'my_service.a-b.example:80'],
    ['1password.com:443', '1password.com:443'],
    [`${'a'.repeat(63)}.b:80`, `${'a'.repeat(63)}.b:80`],
    [`${'a.'.repeat(126)}b:65535`, `${'a.'.repeat(126)}b:65535`],
  ] as const) {
    it(`reads the host ${text.slice(0, 40)}`, () => {
      const authority = parseAuthority(text);
      expect(authority?.kind).to.equal('host');
      expect(authorityText(authority!)).to.equal(canonical);
    });
  }

  for (const [why, texts] of [
    ['a missing port', ['10.0.0.1', 'web', '[::1]', '10.0.0.1:', 'web:', '[::1]:', '', ':']],
    ['a missing host', [':80', '[]:80']],
    [
      'a port that is not 1 to 65535 in its one spelling',
      [
        'web:0',
        'web:65536',
        'web:080',
        'web:+80',
        'web:8 0',
        'web:0x50',
        'web:-1',
        'web:80a',
        'web:100000',
        'web:８０',
      ],
    ],
    ['an IPv6 address without brackets', ['::1:80', '2001:db8::1:80']],
    [
      'brackets around something else',
      [
        '[10.0.0.1]:80',
        '[web]:80',
        '[::1:80',
        '::1]:80',
        '[[::1]]:80',
        '[::1]x:80',
        '[fe80::1%eth0]:80',
        '[v1.a:b]:80',
      ],
    ],
    [
      'a name that some resolver takes for an address',
      [
        '1.2.3:80',
        '127.1:80',
        '2130706433:80',
        '0x7f000001:80',
        '0x7f.1:80',
        '1.2.3.4.5:80',
        '010.0.0.1:80',
        '10.0.0.256:80',
        '0x:80',
      ],
    ],
    [
      'user information, schemes and paths',
      ['user@web:80', 'http://web:80', 'web:80/', 'web/a:80', 'web?:80', 'web#:80'],
    ],
    [
      'labels that are empty or too long, and hyphens at their ends',
      [
        'a..b:80',
        '.a:80',
        'a.:80',
        '-a:80',
        'a-:80',
        `${'a'.repeat(64)}:80`,
        `${'a.'.repeat(127)}b:80`,
      ],
    ],
    [
      'wildcards, other letters, spaces, line breaks and NUL',
      [
        '*.example.com:80',
        'wéb:80',
        'we b:80',
        ' web:80',
        'web:80 ',
        'web\n:80',
        'web\r\n:80',
        'web:80\n',
        'web\0:80',
        'web,x:80',
        '\u212a:80',
      ],
    ],
  ] as const) {
    it(`refuses ${why}`, () => {
      for (const text of texts)
        expect(parseAuthority(text), JSON.stringify(text)).to.equal(undefined);
    });
  }
});
