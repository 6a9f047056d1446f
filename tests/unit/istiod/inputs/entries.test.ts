import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AppProtocol } from '#api/gen/workload_pb.ts';
import { serviceEntryRecord, workloadEntryRecord } from '#istiod/inputs/entries.ts';
import type { Configuration } from '#kube/resources.ts';

function object(
  kind: string,
  spec: unknown,
  more: object = {},
  status: unknown = {},
): Configuration {
  const metadata = { name: 'entry', namespace: 'shop', ...more };
  return { apiVersion: 'networking.istio.io/v1', kind, metadata, spec, status } as Configuration;
}

const record = (spec: unknown, status: unknown = {}) =>
  serviceEntryRecord(object('ServiceEntry', spec, {}, status));

describe('serviceEntryRecord()', () => {
  it('is one service for each of its hosts', () => {
    const { services, byDns } = record({
      hosts: ['a.example', 'b.example', 'a.example'],
      addresses: ['192.0.2.0/24', '192.0.2.9', 'nonsense'],
      ports: [
        { number: 443, name: 'https', protocol: 'TLS' },
        { number: 80, name: 'web', protocol: 'HTTP', targetPort: 8080 },
        { number: 'x' },
      ],
      resolution: 'STATIC',
    });
    expect(services.map(({ hostname }) => hostname)).to.deep.equal(['a.example', 'b.example']);
    expect(services[0]).to.deep.include({
      kind: 'ServiceEntry',
      addresses: [
        { ip: '192.0.2.0', prefixLength: 24 },
        { ip: '192.0.2.9', prefixLength: undefined },
      ],
      ports: [
        { name: 'https', number: 443, target: 443, protocol: AppProtocol.TLS },
        { name: 'web', number: 80, target: 8080, protocol: AppProtocol.HTTP11 },
      ],
    });
    expect(services[0]?.balancing.passthrough).to.equal(false);
    expect(byDns).to.equal(false);
  });

  it('has the addresses that were allocated for a host when its author wrote none', () => {
    const addresses = [
      { host: 'a.example', value: '240.240.0.1' },
      { host: 'b.example', value: '240.240.0.2' },
    ];
    const { services } = record({ hosts: ['a.example', 'b.example'] }, { addresses });
    expect(services.map((service) => service.addresses[0]?.ip)).to.deep.equal([
      '240.240.0.1',
      '240.240.0.2',
    ]);
  });

  it('goes to the dialled address without resolution, and asks DNS without endpoints', () => {
    expect(record({ hosts: ['a'] }).services[0]?.balancing.passthrough).to.equal(true);
    expect(record({ hosts: ['a'], resolution: 'DNS' }).byDns).to.equal(true);
    const chosen = { matchLabels: {}, labels: { app: 'x' } };
    const spec = { hosts: ['a'], resolution: 'DNS', workloadSelector: chosen };
    expect(record(spec).byDns).to.equal(false);
    expect(record(spec).services[0]?.selector).to.deep.equal({ app: 'x' });
  });

  it('reads endpoints with address, ports, place and weight', () => {
    const { endpoints } = record({
      hosts: ['a'],
      endpoints: [
        {
          address: '192.0.2.1',
          ports: { web: 8080, bad: 0 },
          locality: 'r/z/s',
          weight: 3,
          network: 'n',
          labels: { app: 'x' },
          serviceAccount: 'till',
        },
        { address: 'host.example', weight: 0 },
        { network: 'far' },
      ],
    });
    expect(endpoints[0]).to.deep.equal({
      address: { kind: 'ip', ip: '192.0.2.1' },
      ports: new Map([['web', 8080]]),
      labels: { app: 'x' },
      network: 'n',
      locality: { region: 'r', zone: 'z', subzone: 's' },
      weight: 3,
      serviceAccount: 'till',
    });
    expect(endpoints[1]).to.deep.include({
      address: { kind: 'hostname', hostname: 'host.example' },
      weight: undefined,
    });
    expect(endpoints[2]?.address).to.deep.equal({ kind: 'none' });
  });

  it('leaves out what no connection of a pod can go to, and who is nobody', () => {
    const spec = {
      hosts: ['a/b', 'a b', 'bö.example', 'x'.repeat(254), '*.a.example'],
      resolution: 'DNS',
      endpoints: [{ address: 'unix:///run/x' }, { address: '192.0.2.1', serviceAccount: 'a/b' }],
    };
    const { services, endpoints, byDns } = record(spec);
    expect(services.map(({ hostname }) => hostname)).to.deep.equal(['*.a.example']);
    expect([endpoints, byDns]).to.deep.equal([[], false]);
  });

  it('takes a weight that is none for none', () => {
    const weights = [1.5, 2 ** 32, -1, '3', 2 ** 32 - 1];
    const { endpoints } = record({
      hosts: ['a'],
      endpoints: weights.map((weight) => ({ weight })),
    });
    expect(endpoints.map(({ weight }) => weight)).to.deep.equal([
      ...Array.from({ length: 4 }, () => undefined),
      2 ** 32 - 1,
    ]);
  });

  it('is nothing without hosts, whatever else it holds', () => {
    for (const spec of [undefined, null, 'text', {}, { hosts: 'a' }, { hosts: [1] }])
      expect(record(spec).services, JSON.stringify(spec)).to.deep.equal([]);
  });
});

describe('workloadEntryRecord()', () => {
  it('has the labels of the object and of its spec, and the name of its group', () => {
    const spec = { address: '192.0.2.1', labels: { app: 'inner', version: 'v1' } };
    const labels = { app: 'outer', team: 't' };
    const plain = workloadEntryRecord(object('WorkloadEntry', spec, { labels }));
    expect(plain?.labels).to.deep.equal({ app: 'inner', team: 't', version: 'v1' });
    expect(plain?.workloadName).to.equal('entry');
    const annotations = { 'istio.io/autoRegistrationGroup': 'group' };
    expect(
      workloadEntryRecord(object('WorkloadEntry', spec, { annotations }))?.workloadName,
    ).to.equal('group');
    const named = { labels: { 'service.istio.io/workload-name': 'name' } };
    expect(workloadEntryRecord(object('WorkloadEntry', spec, named))?.workloadName).to.equal(
      'name',
    );
  });

  it('is none when its address or its account cannot be read', () => {
    for (const spec of [{ address: 'unix:///x' }, { address: '192.0.2.1', serviceAccount: 'a b' }])
      expect(workloadEntryRecord(object('WorkloadEntry', spec))).to.equal(undefined);
  });
});
