import { expect } from 'chai';
import { describe, it } from 'mocha';

import { exact, prefix, regex, routeBytes } from '#tests/support/waypoint-resources.ts';
import { decodeRoute } from '#waypoint/routing/decode.ts';

function refusal(given: Parameters<typeof routeBytes>[1], name = 'HTTPRoute/default/a'): string {
  const decoded = decodeRoute(name, routeBytes('a', given));
  return decoded.kind === 'refused' ? decoded.reason : 'taken';
}

describe('decodeRoute()', () => {
  it('takes a route', () => {
    expect(refusal({ rules: [{}] })).to.equal('taken');
  });

  const refused: [what: string, given: Parameters<typeof routeBytes>[1], reason: string][] = [
    ['another name', {}, 'its name is "HTTPRoute/default/a"'],
    [
      'an expression that is none',
      { rules: [{ matches: [{ path: regex('(') }] }] },
      '"(" is no expression: error parsing regexp: missing closing ): `(`',
    ],
    [
      'an expression that is too long',
      { rules: [{ matches: [{ path: regex('a'.repeat(1_025)) }] }] },
      'an expression has 1025 characters: want at most 1024',
    ],
    [
      'a path match of a kind that is not known',
      { rules: [{ matches: [{ path: {} }] }] },
      'a path match is of an unknown kind',
    ],
    [
      'a host that is none',
      {
        rules: [
          { filters: [{ kind: { case: 'rewrite', value: { hostname: 'a\r\nx: y' } } }] },
          { filters: [{ kind: { case: 'redirect', value: { scheme: 'x:y', hostname: 'a b' } } }] },
        ],
      },
      '"a\\r\\nx: y" is no host, scheme "x:y" is not served, "a b" is no host',
    ],
    [
      'a filter that is not known',
      { rules: [{ filters: [{}] }] },
      'filter "of an unknown kind" is not served',
    ],
    [
      'a filter that is not served',
      { rules: [{ filters: [{ kind: { case: 'mirror', value: {} } }] }] },
      'filter "mirror" is not served',
    ],
    [
      'pages of what is no origin, and what is no name',
      {
        rules: [
          {
            filters: [
              {
                kind: {
                  case: 'cors',
                  value: { allowOrigins: ['*', 'a b'], allowMethods: ['GET\r\nx: y'] },
                },
              },
            ],
          },
        ],
      },
      '"a b" is no origin, "GET\\r\\nx: y" can\'t be allowed to pages',
    ],
    [
      'a header that frames the message',
      {
        rules: [
          {
            filters: [{ kind: { case: 'requestHeaders', value: { remove: ['Content-Length'] } } }],
          },
        ],
      },
      'header "content-length" can\'t be changed',
    ],
    ['a backend without a service', { rules: [{ backends: [{}] }] }, 'a backend is no service'],
  ];
  for (const [what, given, reason] of refused) {
    it(`refuses ${what}`, () => {
      const name = what === 'another name' ? 'HTTPRoute/default/b' : 'HTTPRoute/default/a';
      expect(refusal(given, name)).to.equal(reason);
    });
  }

  it('refuses what is no message', () => {
    const decoded = decodeRoute('HTTPRoute/default/a', Buffer.from('\xff\xff', 'latin1'));
    expect(decoded.kind).to.equal('refused');
  });

  for (const [written, sent] of [
    ['/x HTTP/1.1\r\nhost: a\r\n\r\nGET /y', '/x%20HTTP/1.1%0D%0Ahost:%20a%0D%0A%0D%0AGET%20/y'],
    ['/\u65e5?a=\u65e5 #b', '/%E6%97%A5?a=%E6%97%A5%20%23b'],
    ['x', '/x'],
  ] as const) {
    it(`rewrites a path to ${JSON.stringify(written)} as a target may say it`, () => {
      const path = { kind: { case: 'full', value: written } } as const;
      const filters = [{ kind: { case: 'rewrite', value: { path } } }] as const;
      const decoded = decodeRoute(
        'HTTPRoute/default/a',
        routeBytes('a', { rules: [{ filters: [...filters] }] }),
      );
      const [filter] = decoded.kind === 'route' ? (decoded.route.rules[0]?.filters ?? []) : [];
      expect(filter).to.deep.equal({
        kind: 'rewrite',
        hostname: undefined,
        path: { kind: 'full', value: sent },
      });
    });
  }

  it('reads paths in the spelling that requests are given', () => {
    const written = [exact('/caf\u00e9'), prefix('/caf%c3%a9')];
    const matches = written.map((path) => ({ path }));
    const decoded = decodeRoute('HTTPRoute/default/a', routeBytes('a', { rules: [{ matches }] }));
    const read = decoded.kind === 'route' ? decoded.route.rules[0]?.matches : undefined;
    expect(read?.map(({ path }) => path)).to.deep.equal([
      { kind: 'exact', value: '/caf%C3%A9' },
      { kind: 'prefix', value: '/caf%C3%A9' },
    ]);
  });
});
