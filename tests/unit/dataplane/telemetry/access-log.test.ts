import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import type { AccessRecord } from '#dataplane/telemetry/access-log.ts';
import { accessLevel, accessLine } from '#dataplane/telemetry/access-log.ts';

const startMs = Date.UTC(2026, 0, 31, 12, 0, 0);

function tunnelled(): AccessRecord {
  return {
    direction: 'outbound',
    source: {
      address: '10.244.0.11:45218',
      workload: 'till-7656cf8794-57b77',
      namespace: 'shop',
      identity: 'spiffe://cluster.local/ns/shop/sa/till',
      cluster: 'Kubernetes',
    },
    destination: {
      address: '10.244.1.12:15008',
      hboneAddress: '10.244.1.12:8080',
      service: 'stock.shop.svc.cluster.local',
      workload: 'stock-5d8f7b6c9-abcde',
      namespace: 'shop',
      identity: 'spiffe://cluster.local/ns/shop/sa/stock',
      cluster: 'Kubernetes',
    },
    startMs,
    bytesSent: 84,
    bytesReceived: 285,
  };
}

const plain: AccessRecord = {
  direction: 'inbound',
  source: { address: '[2001:db8::1]:40000' },
  destination: { address: '[2001:db8::2]:8080', workload: '' },
  startMs,
  bytesSent: 0,
  bytesReceived: 0,
};

describe('accessLine()', () => {
  it('writes a complete connection with every field in order', () => {
    expect(accessLine(tunnelled(), 'complete', startMs + 6, 'text')).to.equal(
      '2026-01-31T12:00:00.006000Z\tinfo\taccess\tconnection complete\t' +
        'src.addr=10.244.0.11:45218 src.workload="till-7656cf8794-57b77" src.namespace="shop" ' +
        'src.identity="spiffe://cluster.local/ns/shop/sa/till" src.cluster="Kubernetes" ' +
        'dst.addr=10.244.1.12:15008 dst.hbone_addr=10.244.1.12:8080 ' +
        'dst.service="stock.shop.svc.cluster.local" dst.workload="stock-5d8f7b6c9-abcde" ' +
        'dst.namespace="shop" dst.identity="spiffe://cluster.local/ns/shop/sa/stock" ' +
        'dst.cluster="Kubernetes" direction="outbound" bytes_sent=84 bytes_recv=285 duration="6ms"',
    );
  });

  it('leaves out what is not known', () => {
    expect(accessLine(plain, 'complete', startMs + 1_500.7, 'text')).to.equal(
      '2026-01-31T12:00:01.500699Z\tinfo\taccess\tconnection complete\t' +
        'src.addr=[2001:db8::1]:40000 dst.addr=[2001:db8::2]:8080 direction="inbound" ' +
        'bytes_sent=0 bytes_recv=0 duration="1500ms"',
    );
  });

  it('writes an error at the end, and the policy after it', () => {
    const record = {
      ...plain,
      error: 'connection closed due to policy rejection: explicitly denied by: shop/no-tills',
      policy: 'shop/no-tills',
    };
    expect(accessLine(record, 'complete', startMs, 'text')).to.equal(
      '2026-01-31T12:00:00.000000Z\terror\taccess\tconnection complete\t' +
        'src.addr=[2001:db8::1]:40000 dst.addr=[2001:db8::2]:8080 direction="inbound" ' +
        'bytes_sent=0 bytes_recv=0 duration="0ms" ' +
        'error="connection closed due to policy rejection: explicitly denied by: shop/no-tills" ' +
        'policy="shop/no-tills"',
    );
  });

  it('writes an opened connection without counts', () => {
    expect(accessLine(plain, 'opened', startMs, 'text')).to.equal(
      '2026-01-31T12:00:00.000000Z\tdebug\taccess\tconnection opened\t' +
        'src.addr=[2001:db8::1]:40000 dst.addr=[2001:db8::2]:8080 direction="inbound"',
    );
  });

  it('writes an early refusal with addresses, direction and error only', () => {
    const record = { ...tunnelled(), error: 'attempted recursive call to ourselves' };
    expect(accessLine(record, 'refused', startMs, 'text')).to.equal(
      '2026-01-31T12:00:00.000000Z\twarn\taccess\tconnection failed\t' +
        'src.addr=10.244.0.11:45218 dst.addr=10.244.1.12:15008 direction="outbound" ' +
        'error="attempted recursive call to ourselves"',
    );
  });

  it('writes the same fields as JSON', () => {
    const line = accessLine({ ...tunnelled(), error: 'x' }, 'complete', startMs + 6, 'json');
    expect(Object.entries(JSON.parse(line) as object)).to.deep.equal([
      ['level', 'error'],
      ['time', '2026-01-31T12:00:00.006000Z'],
      ['scope', 'access'],
      ['message', 'connection complete'],
      ['src.addr', '10.244.0.11:45218'],
      ['src.workload', 'till-7656cf8794-57b77'],
      ['src.namespace', 'shop'],
      ['src.identity', 'spiffe://cluster.local/ns/shop/sa/till'],
      ['src.cluster', 'Kubernetes'],
      ['dst.addr', '10.244.1.12:15008'],
      ['dst.hbone_addr', '10.244.1.12:8080'],
      ['dst.service', 'stock.shop.svc.cluster.local'],
      ['dst.workload', 'stock-5d8f7b6c9-abcde'],
      ['dst.namespace', 'shop'],
      ['dst.identity', 'spiffe://cluster.local/ns/shop/sa/stock'],
      ['dst.cluster', 'Kubernetes'],
      ['direction', 'outbound'],
      ['bytes_sent', 84],
      ['bytes_recv', 285],
      ['duration', '6ms'],
      ['error', 'x'],
    ]);
  });

  it('shows no negative duration when the clock was set back', () => {
    expect(accessLine(plain, 'complete', startMs - 5, 'text')).to.contain('duration="0ms"');
  });

  it('gives a peer no way to end the line or to add a field', () => {
    const hostile = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(hostile, hostile, (authority, error) => {
        const destination = { address: '10.0.0.2:15008', hboneAddress: authority, service: error };
        const record = { ...plain, destination, error };
        const text = accessLine(record, 'complete', startMs, 'text');
        expect(fieldsOf(text).map(([name]) => name)).to.deep.equal([
          'src.addr',
          'dst.addr',
          'dst.hbone_addr',
          'dst.service',
          'direction',
          'bytes_sent',
          'bytes_recv',
          'duration',
          'error',
        ]);
        const json = accessLine(record, 'complete', startMs, 'json');
        expect(json).not.to.match(/[\p{C}\p{Zl}\p{Zp}]/u);
        expect(JSON.parse(json)).to.include({ 'dst.hbone_addr': authority, error });
      }),
    );
  });
});

describe('accessLevel()', () => {
  it('follows how the connection went', () => {
    expect(accessLevel('opened', plain)).to.equal('debug');
    expect(accessLevel('complete', plain)).to.equal('info');
    expect(accessLevel('complete', { ...plain, error: 'x' })).to.equal('error');
    expect(accessLevel('refused', { ...plain, error: 'x' })).to.equal('warn');
  });
});

/** Reads a text line the way a log shipper does. */
function fieldsOf(line: string): ReadonlyArray<readonly [string, string]> {
  const columns = line.split('\t');
  expect(columns).to.have.length(5);
  const field = /(?:^| )([a-z_.]+)=("(?:[^"\\]|\\.)*"|[^ "]+)/gy;
  const found: Array<readonly [string, string]> = [];
  const text = columns[4]!;
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (match === null) throw new Error(`Cannot read ${JSON.stringify(text)} as fields`);
    found.push([match[1]!, match[2]!]);
  }
  return found;
}
