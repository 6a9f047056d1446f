import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { RouteSchema } from '#api/gen/waypoint_pb.ts';
import {
  type MeshWorld,
  meshWorld,
  parentRef,
  routeRecord,
  servicePort,
  serviceRecord,
  setServiceBehind,
  setWaypoint,
  usesWaypoint,
} from '#tests/support/control-plane.ts';

let world: MeshWorld;

const GATEWAY_GROUP = 'gateway.networking.k8s.io';

/** A route to services, `namespace/name` or `namespace/name:port`. */
function route(namespace: string, ...parents: readonly string[]): void {
  const parentRefs = parents.map((parent) => {
    const [, home = '', name = '', port] = /^(.*)\/([^:]*)(?::(.*))?$/.exec(parent) ?? [];
    const number = port === undefined ? undefined : Number(port);
    return parentRef(name, { namespace: home, port: number });
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
  setWaypoint(world, 'way');
  setWaypoint(world, 'far', 'store');
  setServiceBehind(world, 'shelf', 'shop/way');
  setServiceBehind(world, 'lamp', 'shop/way');
  setServiceBehind(world, 'rack', 'store/far', 'store');
}

describe('deriveWaypointRoutes()', () => {
  beforeEach(setUp);

  it('gives a waypoint the routes of the services behind it, one resource for each route', () => {
    route('shop', 'shop/shelf', 'shop/lamp:80');
    expect(routes()).to.deep.equal(['shop/way|HTTPRoute/shop/split: shop/shelf:0 shop/lamp:80']);
  });

  it('keeps kinds apart that have a name in common', () => {
    route('shop', 'shop/shelf');
    const parentRefs = [parentRef('shelf')];
    world.inputs.grpcRoutes.set(routeRecord('split', { kind: 'GRPCRoute', parentRefs }));
    expect(routes()).to.have.members([
      'shop/way|HTTPRoute/shop/split: shop/shelf:0',
      'shop/way|GRPCRoute/shop/split: shop/shelf:0',
    ]);
  });

  it('gives each of several waypoints what is behind it', () => {
    setServiceBehind(world, 'shelf', 'store/far');
    route('shop', 'shop/shelf', 'shop/lamp');
    expect(routes()).to.have.members([
      'store/far|HTTPRoute/shop/split: shop/shelf:0',
      'shop/way|HTTPRoute/shop/split: shop/lamp:0',
    ]);
  });

  it('takes routes of the service’s namespace and of the waypoint’s, and no others', () => {
    setServiceBehind(world, 'shelf', 'store/far');
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
    setServiceBehind(world, 'late', 'shop/way');
    expect(routes()).to.deep.equal(['shop/way|HTTPRoute/shop/split: shop/late:0']);
    setServiceBehind(world, 'late', 'store/far');
    expect(routes()).to.deep.equal(['store/far|HTTPRoute/shop/split: shop/late:0']);
    world.inputs.services.delete('shop/late');
    expect(routes()).to.deep.equal([]);
  });

  it('is not attached to a port that the service does not have, nor to what is no service', () => {
    route('shop', 'shop/shelf:81');
    expect(routes()).to.deep.equal([]);
    const gateway = parentRef('way', { group: GATEWAY_GROUP, kind: 'Gateway' });
    world.inputs.httpRoutes.set(routeRecord('split', { parentRefs: [gateway] }));
    expect(routes()).to.deep.equal([]);
  });

  it('has the time of the route, and its backends as they are now', () => {
    const rules = [{ backendRefs: [{ name: 'late', port: 80 }] }];
    const parentRefs = [parentRef('shelf')];
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

  it('attaches to all hosts of an entry', () => {
    entry('abroad', usesWaypoint('way'));
    const parent = parentRef('abroad', { ...ENTRY, port: 80 });
    world.inputs.httpRoutes.set(routeRecord('split', { parentRefs: [parent] }));
    expect(routes()).to.deep.equal(['shop/way|HTTPRoute/shop/split: shop/a:80 shop/b:80']);
    world.inputs.serviceEntries.delete('shop/abroad');
    expect(routes()).to.deep.equal([]);
  });

  it('takes a section for a port by its name', () => {
    const ports = [servicePort(80, { name: 'http' }), servicePort(81, { name: 'admin' })];
    world.inputs.services.set(serviceRecord('shelf', { labels: usesWaypoint('way'), ports }));
    for (const [more, expected] of [
      [{ section: 'admin' }, 81],
      [{ section: 'admin', port: 81 }, 81],
      [{ section: 'admin', port: 80 }, undefined],
      [{ section: 'other' }, undefined],
    ] as const) {
      const parentRefs = [parentRef('shelf', more)];
      world.inputs.httpRoutes.set(routeRecord('split', { parentRefs }));
      const wanted =
        expected === undefined ? [] : [`shop/way|HTTPRoute/shop/split: shop/shelf:${expected}`];
      expect(routes(), JSON.stringify(more)).to.deep.equal(wanted);
    }
  });

  it('sends to hosts as the namespace of the route means them', () => {
    entry('abroad', {});
    const rules = [
      { backendRefs: [{ group: ENTRY.group, kind: 'Hostname', name: 'a.example', port: 80 }] },
    ];
    const backend = (namespace: string): unknown => {
      const parentRefs = [parentRef('shelf')];
      setServiceBehind(world, 'shelf', 'store/far');
      world.inputs.httpRoutes.set(routeRecord('split', { namespace, parentRefs, rules }));
      const found = world.mesh.waypointRoutes.get(`store/far|HTTPRoute/${namespace}/split`);
      const read = fromBinary(RouteSchema, found?.bytes ?? new Uint8Array());
      return read.rules[0]?.backends[0];
    };
    expect(backend('shop')).to.deep.nested.include({ 'service.namespace': 'shop', invalid: '' });
    // Nobody else has that name: then it is the one in shop.
    expect(backend('store')).to.deep.nested.include({ 'service.namespace': 'shop' });
    entry('own', {}, 'store');
    expect(backend('store')).to.deep.nested.include({ 'service.namespace': 'store' });
    world.inputs.serviceEntries.delete('store/own');
    world.inputs.serviceEntries.delete('shop/abroad');
    expect(backend('store')).to.deep.nested.include({ invalid: 'host a.example not found' });
  });
});

const ENTRY = { group: 'networking.istio.io', kind: 'ServiceEntry' };

function entry(name: string, labels: Readonly<Record<string, string>>, namespace = 'shop'): void {
  const described = { name, namespace, labels, createdAt: '2026-01-01T00:00:00Z' };
  const services = ['a.example', 'b.example'].map((hostname) =>
    serviceRecord(name, { ...described, kind: 'ServiceEntry', hostname }),
  );
  world.inputs.serviceEntries.set({ ...described, services, endpoints: [], byDns: true });
}
