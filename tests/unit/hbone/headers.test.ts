import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import {
  type Baggage,
  newTraceparent,
  parseBaggage,
  parseForwarded,
  parseTraceparent,
  writeBaggage,
  writeForwarded,
} from '#hbone/headers.ts';

const FULL: Baggage = {
  clusterId: 'Kubernetes',
  namespace: 'shop',
  workloadName: 'till',
  workloadType: 'deployment',
  canonicalName: 'till',
  canonicalRevision: 'v2',
  region: 'r1',
  zone: 'z1',
};
const FULL_TEXT =
  'k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=till,' +
  'service.name=till,service.version=v2,cloud.region=r1,cloud.availability_zone=z1';

const address = (text: string): SocketAddress => parseSocketAddress(text)!;
const filler = (length: number): string => `x=${'y'.repeat(length)}`;
const noise = (count: number): string => Array(count).fill('a=b').join(',');

describe('writeBaggage()', () => {
  it('writes everything in the order of the field', () => {
    expect(writeBaggage(FULL)).to.equal(FULL_TEXT);
  });

  it('names the workload by its type', () => {
    for (const workloadType of ['deployment', 'cronjob', 'pod', 'job'] as const)
      expect(writeBaggage({ workloadName: 'w', workloadType })).to.equal(
        `k8s.${workloadType}.name=w`,
      );
  });

  it('leaves out what is unknown, to the empty string', () => {
    expect(writeBaggage({ namespace: 'a', canonicalName: '', zone: 'b' })).to.equal(
      'k8s.namespace.name=a,cloud.availability_zone=b',
    );
    expect(writeBaggage({})).to.equal('');
  });

  it('leaves out a value that would change the header', () => {
    for (const value of ['a,k8s.namespace.name=b', 'a\r\nx: y', 'a\0', 'é', 'a b', 'a'.repeat(257)])
      expect(writeBaggage({ namespace: value, zone: 'z' })).to.equal('cloud.availability_zone=z');
  });
});

describe('parseBaggage()', () => {
  it('reads back what writeBaggage() writes', () => {
    expect(parseBaggage([FULL_TEXT])).to.deep.equal(FULL);
  });

  it('reads all lines', () => {
    expect(parseBaggage(['k8s.namespace.name=a', 'k8s.pod.name=p,other=1'])).to.deep.equal({
      namespace: 'a',
      workloadName: 'p',
      workloadType: 'pod',
    });
  });

  it('takes spaces around, equals signs inside, and the last of equal keys', () => {
    expect(
      parseBaggage([' service.name = a=b , service.version=1', 'service.version=2']),
    ).to.deep.equal({ canonicalName: 'a=b', canonicalRevision: '2' });
  });

  it('knows nothing from no lines, empty values, unknown keys and noise', () => {
    for (const lines of [
      [],
      [''],
      ['k8s.namespace.name='],
      ['__proto__=x,constructor=y'],
      ['=,==,,;'],
    ])
      expect(parseBaggage(lines)).to.deep.equal({});
  });

  it('skips values with control characters or other letters, and keeps the rest', () => {
    for (const value of ['a\0b', 'a\nb', 'a\x1b[31m', 'a\x7f', 'ä', 'a b', 'a'.repeat(257)])
      expect(parseBaggage([`k8s.namespace.name=${value},cloud.region=r`])).to.deep.equal({
        region: 'r',
      });
  });

  it('reads a long honest header and gives up on a longer one', () => {
    expect(parseBaggage([FULL_TEXT, filler(7_900)])).to.deep.equal(FULL);
    expect(parseBaggage([FULL_TEXT, filler(8_100)])).to.deep.equal({});
  });

  it('looks at 64 entries, however they are spread over lines', () => {
    expect(parseBaggage([noise(62), 'x=y,cloud.region=r'])).to.deep.equal({ region: 'r' });
    expect(parseBaggage([noise(62), 'x=y', 'x=y', 'cloud.region=r'])).to.deep.equal({});
    expect(parseBaggage([`${noise(64)},cloud.region=r`])).to.deep.equal({});
  });
});

describe('writeForwarded()', () => {
  it('quotes the source and adds the host bare', () => {
    expect(writeForwarded(address('10.0.0.1:80'), undefined)).to.equal('for="10.0.0.1:80"');
    expect(writeForwarded(address('[::1]:80'), 'web.shop.svc')).to.equal(
      'for="[::1]:80";host=web.shop.svc',
    );
  });
});

describe('parseForwarded()', () => {
  it('reads back what writeForwarded() writes', () => {
    expect(parseForwarded([writeForwarded(address('[::1]:80'), 'web.shop.svc')])).to.deep.equal({
      for: '[::1]:80',
      host: 'web.shop.svc',
    });
  });

  for (const [line, want] of [
    ['host="web"', { host: 'web' }],
    ['HOST=web', { host: 'web' }],
    ['host=web:80', { host: 'web:80' }],
    ['for=10.0.0.1; host=web', { for: '10.0.0.1', host: 'web' }],
    ['for="a\\"b"', { for: 'a"b' }],
    ['for="a;host=b,c"', { for: 'a;host=b,c' }],
    ['for=a, for=b;host=c', { for: 'a', host: 'c' }],
    ['host=a, host=b', { host: 'a' }],
    ['proto=https;by="_x"', {}],
    ['', {}],
  ] as const) {
    it(`reads ${JSON.stringify(line)}`, () => {
      expect(parseForwarded([line])).to.deep.equal(want);
    });
  }

  for (const line of [
    'host=',
    'host=""',
    'host',
    'host="web',
    'host=web"',
    'host="web"x',
    'host=we b',
    'host=wéb',
    'host="wéb"',
    'host="a\\\0"',
    'host="a b"',
    'host="a\nb"',
    ';host=web',
    'host = web',
    `host=${'a'.repeat(260)}`,
    `for=a;x=${'a'.repeat(1_024)}`,
  ]) {
    it(`refuses ${JSON.stringify(line.slice(0, 30))}`, () => {
      expect(parseForwarded([line])).to.equal(undefined);
    });
  }

  it('reads all lines as one list', () => {
    expect(parseForwarded(['for=a', 'host=b'])).to.deep.equal({ for: 'a', host: 'b' });
  });
});

describe('newTraceparent()', () => {
  it('is valid and never the same', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const value = newTraceparent();
      expect(value).to.match(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      expect(parseTraceparent(value)).to.equal(value);
      seen.add(value);
    }
    expect(seen.size).to.equal(100);
  });
});

describe('parseTraceparent()', () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const parent = '00f067aa0ba902b7';

  it('takes a value of exactly 55 characters', () => {
    expect(parseTraceparent(`00-${trace}-${parent}-01`)).to.equal(`00-${trace}-${parent}-01`);
  });

  for (const value of [
    '',
    `00-${trace}-${parent}`,
    `00-${trace}-${parent}-01-x`,
    `00-${trace}-${parent}-01\n`,
    `ff-${trace}-${parent}-01`,
    `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace}_${parent}-01`,
    `00-${trace.slice(1)}\n-${parent}-01`,
  ]) {
    it(`refuses ${JSON.stringify(value)}`, () => {
      expect(parseTraceparent(value)).to.equal(undefined);
    });
  }
});
