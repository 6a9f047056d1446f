import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { RouteSchema } from '#api/gen/waypoint_pb.ts';
import {
  gatewayRecord,
  type MeshWorld,
  meshListener,
  meshWorld,
  routeRecord,
  serviceRecord,
} from '#tests/support/control-plane.ts';

let world: MeshWorld;

const GATEWAY_GROUP = 'gateway.networking.k8s.io';
const use = (name: string, namespace = 'shop') => ({
  'istio.io/use-waypoint': name,
  'istio.io/use-waypoint-namespace': namespace,
});

/** A waypoint for everybody, that has an address. */
function waypoint(name: string, namespace = 'shop'): void {
  const hostname = `${name}.${namespace}.svc.cluster.local`;
  const listeners = [meshListener({ from: { kind: 'all' } })];
  world.inputs.gateways.set(
    gatewayRecord(name, { namespace, addresses: [{ kind: 'hostname', hostname }], listeners }),
  );
}
function service(name: string, by: string, namespace = 'shop'): void {
  const labels = use(by.split('/')[1] ?? '', by.split('/')[0]);
  world.inputs.services.set(serviceRecord(name, { namespace, labels }));
}
/** A route to services, `namespace/name` or `namespace/name:port`. */
function route(namespace: string, ...parents: readonly string[]): void {
  const parentRefs = parents.map((parent) => {
    const [, home = '', name = '', port] = /^(.*)\/([^:]*)(?::(.*))?$/.exec(parent) ?? [];
    const number = port === undefined ? undefined : Number(port);
    return { group: '', kind: 'Service', namespace: home, name, port: number };
  });
  world.inputs.httpRoutes.set(routeRecord('split', { namespace, parentRefs, rules: [{}] }));
}
/** Each as `waypoint|name: parent …`. */
function routes(): string[] {
  return [...world.mesh.waypointRoutes.values()].map(({ waypoint: whose, name, bytes }) => {
    const { parents } = fromBinary(RouteSchema, bytes);
    const said = parents.map(
      ({ service: to, port }) => `${to?.namespace}/${to?.hostname.split('.')[0]}:${port}`,
    );
    return `${whose}|${name}: ${said.join(' ')}`;
  });
}
function setUp(): void {
  world = meshWorld();
  waypoint('way');
  waypoint('far', 'store');
  service('shelf', 'shop/way');
  service('lamp', 'shop/way');
  service('rack', 'store/far', 'store');
}

describe('deriveWaypointRoutes()', () => {
  beforeEach(setUp);

  it('gives a waypoint the routes of the services behind it, one resource for each route', () => {
    route('shop', 'shop/shelf', 'shop/lamp:80');
    expect(routes()).to.deep.equal(['shop/way|HTTPRoute/shop/split: shop/shelf:0 shop/lamp:80']);
  });

  it('keeps kinds apart that have a name in common', () => {
    route('shop', 'shop/shelf');
    const parentRefs = [
      { group: '', kind: 'Service', namespace: 'shop', name: 'shelf', port: undefined },
    ];
    world.inputs.grpcRoutes.set(routeRecord('split', { kind: 'GRPCRoute', parentRefs }));
    expect(routes()).to.have.members([
      'shop/way|HTTPRoute/shop/split: shop/shelf:0',
      'shop/way|GRPCRoute/shop/split: shop/shelf:0',
    ]);
  });

  it('gives each of several waypoints what is behind it', () => {
    service('shelf', 'store/far');
    route('shop', 'shop/shelf', 'shop/lamp');
    expect(routes()).to.have.members([
      'store/far|HTTPRoute/shop/split: shop/shelf:0',
      'shop/way|HTTPRoute/shop/split: shop/lamp:0',
    ]);
  });

  it('takes routes of the service’s namespace and of the waypoint’s, and no others', () => {
    service('shelf', 'store/far');
    for (const [namespace, count] of [
      ['shop', 1],
      ['store', 1],
      ['elsewhere', 0],
    ] as const) {
      route(namespace, 'shop/shelf');
      expect(
        routes().filter((one) => one.includes(`/${namespace}/split`)).length,
        namespace,
      ).to.equal(count);
    }
  });

  it('follows services as they come, go, and change their waypoint', () => {
    route('shop', 'shop/late');
    expect(routes()).to.deep.equal([]);
    service('late', 'shop/way');
    expect(routes()).to.deep.equal(['shop/way|HTTPRoute/shop/split: shop/late:0']);
    service('late', 'store/far');
    expect(routes()).to.deep.equal(['store/far|HTTPRoute/shop/split: shop/late:0']);
    world.inputs.services.delete('shop/late');
    expect(routes()).to.deep.equal([]);
  });

  it('is not attached to a port that the service does not have, nor to what is no service', () => {
    route('shop', 'shop/shelf:81');
    expect(routes()).to.deep.equal([]);
    const gateway = {
      group: GATEWAY_GROUP,
      kind: 'Gateway',
      namespace: 'shop',
      name: 'way',
      port: undefined,
    };
    world.inputs.httpRoutes.set(routeRecord('split', { parentRefs: [gateway] }));
    expect(routes()).to.deep.equal([]);
  });

  it('has the time of the route, and its backends as they are now', () => {
    const rules = [{ backendRefs: [{ name: 'late', port: 80 }] }];
    const parentRefs = [
      { group: '', kind: 'Service', namespace: 'shop', name: 'shelf', port: undefined },
    ];
    world.inputs.httpRoutes.set(routeRecord('split', { parentRefs, rules }));
    const read = () => {
      const found = world.mesh.waypointRoutes.get('shop/way|HTTPRoute/shop/split');
      return fromBinary(RouteSchema, found?.bytes ?? new Uint8Array());
    };
    expect(read().createdMs).to.equal(BigInt(Date.UTC(2026, 0, 1)));
    expect(read().rules[0]?.backends[0]?.invalid).to.equal('service shop/late not found');
    world.inputs.services.set(serviceRecord('late'));
    expect(read().rules[0]?.backends[0]).to.deep.include({ invalid: '', port: 80 });
  });
});
