import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Pod, Service } from '#kube/resources.ts';
import {
  type ServiceEndpoints,
  serviceEndpoints,
} from '#playground/controllers/service-endpoints.ts';
import { labels, node, pod } from '#tests/support/workloads.ts';

function service(spec: Partial<Service['spec']> = {}): Service {
  const metadata = { name: 'web', namespace: 'shop', uid: 'web-uid' };
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { selector: labels, ports, clusterIP: '10.96.0.20', ipFamilies: ['IPv4'], ...spec },
  };
}

const zone = { 'topology.kubernetes.io/zone': 'west' };
const nodeOf = (name: string) => node(name, { metadata: { name, labels: zone } });
const of = (given: Service, ...pods: Pod[]): ServiceEndpoints =>
  serviceEndpoints(given, pods, nodeOf);

const named = (port: number) => ({
  spec: { containers: [{ name: 'web', ports: [{ name: 'http', containerPort: port }] }] },
});

describe('serviceEndpoints()', () => {
  it('names each pod with its state, node and zone', () => {
    const { slices, endpoints } = of(service(), pod('1', { node: 'a', ip: '10.244.0.5' }));
    expect(slices).to.have.length(1);
    expect(slices[0]).to.deep.include({
      addressType: 'IPv4',
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      endpoints: [
        {
          addresses: ['10.244.0.5'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'a',
          zone: 'west',
          targetRef: { kind: 'Pod', namespace: 'shop', name: '1', uid: '1-uid' },
        },
      ],
    });
    expect(slices[0]?.metadata.labels).to.include({ 'kubernetes.io/service-name': 'web' });
    expect(slices[0]?.metadata.ownerReferences?.[0]).to.include({
      kind: 'Service',
      uid: 'web-uid',
    });
    expect(endpoints.subsets?.[0]?.addresses?.map(({ ip }) => ip)).to.deep.equal(['10.244.0.5']);
  });

  const states: readonly (readonly [string, Parameters<typeof pod>[1] & object, object])[] = [
    ['ready', {}, { ready: true, serving: true, terminating: false }],
    ['not ready', { ready: false }, { ready: false, serving: false, terminating: false }],
    ['on its way out', { leaving: true }, { ready: false, serving: true, terminating: true }],
  ];
  for (const [what, facts, conditions] of states) {
    it(`tells of a pod that is ${what}`, () => {
      const { slices } = of(service(), pod('1', { ...facts, ip: '10.244.0.5' }));
      expect(slices[0]?.endpoints?.[0]?.conditions).to.deep.equal(conditions);
    });
  }

  it('calls all pods ready for a service that wants to know all of them', () => {
    const all = service({ publishNotReadyAddresses: true });
    const { slices } = of(all, pod('1', { ready: false, ip: '10.244.0.5' }));
    expect(slices[0]?.endpoints?.[0]?.conditions).to.include({ ready: true, serving: false });
  });

  it('leaves pods out that are over or have no address', () => {
    const { slices, endpoints } = of(
      service(),
      pod('1'),
      pod('2', { phase: 'Failed', ip: '10.1.1.1' }),
    );
    expect(slices.map((slice) => slice.endpoints)).to.deep.equal([[]]);
    expect(endpoints).to.not.have.property('subsets');
  });

  it('makes a slice for each set of ports that a named port stands for', () => {
    const byName = service({ ports: [{ name: 'web', port: 80, targetPort: 'http' }] });
    const pods = [
      pod('1', { ip: '10.244.0.5', ...named(8080) }),
      pod('2', { ip: '10.244.0.6', ...named(9090) }),
      pod('3', { ip: '10.244.0.7', ...named(8080) }),
    ];
    const { slices, endpoints } = of(byName, ...pods);
    const shown = slices.map(({ ports, endpoints: list }) => [ports?.[0]?.port, list?.length]);
    expect(shown).to.have.deep.members([
      [8080, 2],
      [9090, 1],
    ]);
    expect(endpoints.subsets).to.have.length(2);
  });

  it('gives the same slices the same names, and cuts large ones', () => {
    const pods = Array.from({ length: 150 }, (_, index) =>
      pod(`p${index}`, { ip: `10.244.1.${index}` }),
    );
    const first = of(service(), ...pods).slices;
    const again = of(service(), ...pods.toReversed()).slices;
    expect(first).to.deep.equal(again);
    expect(first.map((slice) => slice.endpoints?.length)).to.deep.equal([100, 50]);
  });

  it('marks what belongs to a headless service, and names pods that have a name in it', () => {
    const spec = { ...pod('x').spec, hostname: 'first', subdomain: 'web' };
    const { slices } = of(service({ clusterIP: 'None' }), pod('1', { ip: '10.244.0.5', spec }));
    expect(slices[0]?.metadata.labels).to.have.property('service.kubernetes.io/headless');
    expect(slices[0]?.endpoints?.[0]).to.include({ hostname: 'first' });
  });
});
