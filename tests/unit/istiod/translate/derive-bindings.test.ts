import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import {
  gatewayRecord,
  type MeshWorld,
  meshListener,
  meshWorld,
  serviceOf,
  serviceRecord,
} from '#tests/support/control-plane.ts';

const SHELF = 'shop/shelf.shop.svc.cluster.local';

let world: MeshWorld;

function setUp(): void {
  world = meshWorld();
}

const gateway = gatewayRecord('way', {
  addresses: [{ kind: 'hostname', hostname: 'way.shop.svc.cluster.local' }],
});
function use(name: string, more = {}): Readonly<Record<string, string>> {
  return { 'istio.io/use-waypoint': name, ...more };
}
function said(key = 'Service/shop/shelf'): string | undefined {
  const verdict = world.mesh.bindings.get(key);
  return verdict && `${verdict.bound} ${verdict.reason}: ${verdict.message}`;
}
function ofShop(labels: Readonly<Record<string, string>>): void {
  world.inputs.namespaces.set({ name: 'shop', labels, trafficDistribution: undefined });
}
function ingress(value: string): Readonly<Record<string, string>> {
  return use('way', { 'istio.io/ingress-use-waypoint': value });
}

describe('deriveBindings()', () => {
  beforeEach(setUp);

  it('says that a service is bound, by its own label or by that of its namespace', () => {
    world.inputs.gateways.set(gateway);
    world.inputs.services.set(serviceRecord('shelf', { labels: use('way') }));
    const bound = 'true WaypointAccepted: Successfully attached to waypoint shop/way';
    expect(said()).to.equal(bound);
    world.inputs.services.set(serviceRecord('shelf'));
    expect(said()).to.equal(undefined);
    ofShop(use('way'));
    expect(said()).to.equal(bound);
  });

  it('says what becomes of traffic from ingress gateways, when somebody has asked', () => {
    world.inputs.gateways.set(gateway);
    world.inputs.services.set(serviceRecord('shelf', { labels: ingress('true') }));
    expect(said()).to.match(/goes through it, too$/);
    world.inputs.services.set(serviceRecord('shelf', { labels: ingress('false') }));
    expect(said()).to.match(/does not go through it$/);
  });

  const refusals: readonly (readonly [string, () => void, RegExp])[] = [
    [
      'there is none',
      () => undefined,
      /^false WaypointIsNotReady: waypoint shop\/way is not ready: there is no Gateway/,
    ],
    [
      'it has no address',
      () => world.inputs.gateways.set({ ...gateway, addresses: [] }),
      /^false WaypointIsNotReady: .* it has no address yet/,
    ],
    [
      'it serves workloads only',
      () =>
        world.inputs.gateways.set({ ...gateway, labels: { 'istio.io/waypoint-for': 'workload' } }),
      /^false UnsupportedTrafficType: .* does not serve traffic to a service/,
    ],
    [
      'it allows no namespace',
      () =>
        world.inputs.gateways.set({
          ...gateway,
          listeners: [meshListener({ from: { kind: 'none' } })],
        }),
      /^false AttachmentDenied: .* see allowedRoutes/,
    ],
  ];
  for (const [why, arrange, expected] of refusals) {
    it(`says why a service is not bound: ${why}`, () => {
      world.inputs.services.set(serviceRecord('shelf', { labels: use('way') }));
      arrange();
      expect(said()).to.match(expected);
      expect(serviceOf(world, SHELF)?.waypoint).to.equal(undefined);
    });
  }

  it('says nothing when nobody asks, the answer is "none", or it is the service of the waypoint', () => {
    world.inputs.gateways.set(gateway);
    ofShop(use('way'));
    world.inputs.services.set(serviceRecord('shelf', { labels: use('none') }));
    expect(said()).to.equal(undefined);
    const labels = { 'gateway.istio.io/managed': 'istio.io-mesh-controller' };
    world.inputs.services.set(serviceRecord('shelf', { labels }));
    expect(said()).to.equal(undefined);
  });

  it('is about entries, too: a workload does not mind a namespace that serves services', () => {
    world.inputs.gateways.set(gateway);
    const entry = (labels: Readonly<Record<string, string>>) =>
      world.inputs.workloadEntries.set({
        namespace: 'shop',
        name: 'vm',
        labels,
        createdAt: '',
        workloadName: 'vm',
        endpoint: {
          address: { kind: 'none' },
          ports: new Map(),
          labels,
          network: undefined,
          locality: { region: '', zone: '', subzone: '' },
          weight: undefined,
          serviceAccount: '',
        },
      });
    entry(use('way'));
    expect(said('WorkloadEntry/shop/vm')).to.match(/^false UnsupportedTrafficType: .* a workload/);
    entry({});
    ofShop(use('way'));
    expect(said('WorkloadEntry/shop/vm')).to.equal(undefined);
    world.inputs.serviceEntries.set({
      namespace: 'shop',
      name: 'far',
      labels: {},
      createdAt: '',
      services: [],
      endpoints: [],
      byDns: true,
    });
    expect(said('ServiceEntry/shop/far')).to.match(/^true WaypointAccepted/);
  });
});
