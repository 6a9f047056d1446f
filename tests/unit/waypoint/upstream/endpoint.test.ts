import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { LoadBalancing, LocalityScope } from '#dataplane/state/service.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import { identity, ip, ports, service, serving, storeOf, workload } from '#tests/support/mesh.ts';
import { EndpointChooser, type UpstreamEndpoint } from '#waypoint/upstream/endpoint.ts';

const HERE = {
  network: '',
  clusterId: 'c1',
  node: 'node1',
  locality: { region: 'r1', zone: 'z1', subzone: 's1' },
};
const self = workload('way', '10.0.0.1', HERE);

/** Endpoints of one service, by name: where they differ from the waypoint's own place. */
type Places = Readonly<Record<string, Partial<Workload>>>;

const PLACES: Places = {
  same: {},
  zone: { node: 'node2' },
  region: { node: 'node3', locality: { region: 'r1', zone: 'z2', subzone: '' } },
  far: { node: 'node4', locality: { region: 'r2', zone: 'z9', subzone: '' } },
};

function mode(
  name: LoadBalancing['mode'],
  scopes: readonly LocalityScope[] = [],
  healthPolicy: LoadBalancing['healthPolicy'] = 'OnlyHealthy',
): LoadBalancing {
  return { mode: name, routingPreferences: scopes, healthPolicy };
}

class World {
  readonly shop;
  readonly chooser: EndpointChooser;

  constructor(places: Places, loadBalancer?: LoadBalancing, source: Workload | undefined = self) {
    const more = loadBalancer === undefined ? {} : { loadBalancer };
    this.shop = service('shop.default.svc.cluster.local', '10.96.0.1', more);
    const workloads = Object.entries(places).map(([name, place], index) =>
      serving(workload(name, `10.0.1.${index + 1}`, { ...HERE, ...place }), [
        this.shop,
        ports({ 80: 8080 }),
      ]),
    );
    const store = storeOf({ services: [this.shop], workloads });
    this.chooser = new EndpointChooser(store, () => source);
  }

  choose(
    random: number,
    avoid: readonly string[] = [],
  ): UpstreamEndpoint | { readonly reason: string } {
    return this.chooser.choose(
      { kind: 'service', service: this.shop, port: 80 },
      new Set(avoid.map((name) => workload(name, '').uid)),
      () => 0,
      () => random,
    );
  }

  /** Whom draws over the whole range give, in order of names; or why nobody. */
  drawn(avoid: readonly string[] = []): string {
    const names = Array.from({ length: 100 }, (_, step) => {
      const chosen = this.choose(step / 100, avoid);
      return 'reason' in chosen ? chosen.reason : chosen.workload.name;
    });
    return [...new Set(names)].toSorted().join(' ');
  }
}

describe('EndpointChooser', () => {
  const nearness: readonly (readonly [LoadBalancing | undefined, string])[] = [
    [undefined, 'far region same zone'],
    [mode('Standard', ['Region']), 'far region same zone'],
    [mode('Failover', ['Region']), 'region same zone'],
    [mode('Failover', ['Region', 'Zone']), 'same zone'],
    [mode('Failover', ['Network', 'Region', 'Zone']), 'same zone'],
    [mode('Failover', ['Network', 'Region', 'Zone', 'Subzone', 'Node']), 'same'],
    [mode('Failover', ['Node']), 'same'],
    [mode('Strict', ['Node']), 'same'],
    [mode('Strict', ['Region']), 'region same zone'],
    [mode('Strict', ['Cluster']), 'far region same zone'],
  ];
  for (const [loadBalancer, expected] of nearness) {
    const { mode: name = 'no mode', routingPreferences: scopes = [] } = loadBalancer ?? {};
    it(`takes ${expected} by ${[name, ...scopes].join(' ')}, seen from the waypoint`, () => {
      expect(new World(PLACES, loadBalancer).drawn()).to.equal(expected);
    });
  }

  const health: readonly (readonly [string, Places, LoadBalancing | undefined, string])[] = [
    ['leaves out the unhealthy', { a: {}, b: { status: 'Unhealthy' } }, undefined, 'a'],
    [
      'takes the unhealthy where the service says so',
      { a: {}, b: { status: 'Unhealthy' } },
      mode('Standard', [], 'AllowAll'),
      'a b',
    ],
    [
      'goes farther when the near are unhealthy',
      { ...PLACES, same: { status: 'Unhealthy' }, zone: { status: 'Unhealthy' } },
      mode('Failover', ['Region', 'Zone']),
      'region',
    ],
    [
      'goes nowhere else in strict mode',
      { ...PLACES, same: { status: 'Unhealthy' } },
      mode('Strict', ['Node']),
      'no healthy endpoint of shop.default.svc.cluster.local:80',
    ],
    ['draws nobody without capacity', { a: {}, b: { capacity: 0 } }, undefined, 'a'],
    [
      'says that there is nobody',
      { a: { status: 'Unhealthy' } },
      undefined,
      'no healthy endpoint of shop.default.svc.cluster.local:80',
    ],
  ];
  for (const [what, places, loadBalancer, expected] of health) {
    it(what, () => {
      expect(new World(places, loadBalancer).drawn()).to.equal(expected);
    });
  }

  const again: readonly (readonly [LoadBalancing | undefined, readonly string[], string])[] = [
    [undefined, ['same', 'far'], 'region zone'],
    [mode('Failover', ['Region', 'Zone']), ['same'], 'zone'],
    [mode('Failover', ['Region', 'Zone']), ['same', 'zone'], 'region'],
    [mode('Failover', ['Region', 'Zone']), ['same', 'zone', 'region'], 'far'],
    [mode('Failover', ['Region', 'Zone']), ['same', 'zone', 'region', 'far'], 'same zone'],
    [mode('Strict', ['Node']), ['same'], 'same'],
  ];
  for (const [loadBalancer, avoid, expected] of again) {
    const name = loadBalancer?.mode ?? 'no mode';
    it(`tries ${expected} after ${avoid.join(', ')} by ${name}`, () => {
      expect(new World(PLACES, loadBalancer).drawn(avoid)).to.equal(expected);
    });
  }

  it('takes the one with fewer requests of two', () => {
    const world = new World({ a: {}, b: {} });
    const draws = [0, 0.9];
    const chosen = world.chooser.choose(
      { kind: 'service', service: world.shop, port: 80 },
      new Set(),
      (uid) => (uid.endsWith('/a') ? 3 : 2),
      () => draws.shift() ?? 0,
    );
    expect(chosen).to.have.nested.property('workload.name', 'b');
  });

  it('knows nobody as long as it does not know where it is itself', () => {
    const world = new World(PLACES);
    const lost = new EndpointChooser(storeOf({ services: [world.shop] }), () => undefined);
    const target = { kind: 'service', service: world.shop, port: 80 } as const;
    const none = lost.choose(target, new Set(), () => 0, Math.random);
    expect(none).to.have.property('reason').that.contains('no healthy endpoint');
  });

  it('says at which address, and who has to be there when it is a tunnel', () => {
    const world = new World({ a: { protocol: 'HBONE', serviceAccount: 'till' } });
    expect(world.choose(0)).to.deep.include({
      address: { ip: ip('10.0.1.1'), port: 8080 },
      expectedIdentities: [identity('spiffe://cluster.local/ns/default/sa/till')],
    });
    expect(new World({ a: {} }).choose(0)).to.include({ expectedIdentities: undefined });
  });

  it('takes the address that was asked for, when it was one', () => {
    const world = new World(PLACES);
    const one = workload('one', '10.0.2.1', { protocol: 'HBONE' });
    const address = { ip: ip('10.0.2.1'), port: 99 };
    const target = { kind: 'workload', workload: one, address } as const;
    const chosen = world.chooser.choose(target, new Set([one.uid]), () => 0, Math.random);
    expect(chosen).to.deep.include({ workload: one, address });
  });
});
