import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { RouteParentRef } from '#istiod/model/route.ts';
import {
  gatewayRecord,
  type MeshWorld,
  meshWorld,
  parentRef,
  routeRecord,
  serviceRecord,
} from '#tests/support/control-plane.ts';

let world: MeshWorld;

const parent = (name: string, port?: number) => parentRef(name, { port });
const ofGateways = (name: string, kind = 'Gateway') => ({
  ...parent(name),
  group: 'gateway.networking.k8s.io',
  kind,
});
/** Each condition of each parent as `type status reason: message`, but for the one about waypoints. */
function said(rules: readonly unknown[], ref = parent('shelf')): string[] {
  return all(rules, ref).filter((one) => !one.startsWith('ResolvedWaypoints'));
}
function all(rules: readonly unknown[], ref: RouteParentRef, namespace = 'shop'): string[] {
  world.inputs.httpRoutes.set(routeRecord('split', { namespace, parentRefs: [ref], rules }));
  const { parents = [] } = world.mesh.routeVerdicts.get(`HTTPRoute/${namespace}/split`) ?? {};
  return parents.flatMap(({ conditions }) =>
    conditions.map(
      ({ type, status, reason, message }) => `${type} ${status} ${reason}: ${message}`,
    ),
  );
}
const ACCEPTED = 'Accepted True Accepted: Route was valid';
const RESOLVED = 'ResolvedRefs True ResolvedRefs: All references resolved';
const backend = (ref: object) => [{ backendRefs: [ref] }];
const never = { matches: [{ path: { type: 'RegularExpression', value: '(' } }] };

describe('deriveRouteVerdicts()', () => {
  beforeEach(() => {
    world = meshWorld();
    world.inputs.services.set(serviceRecord('shelf'));
  });

  it('accepts a route to a service that is there', () => {
    expect(said(backend({ name: 'shelf', port: 80 }))).to.deep.equal([ACCEPTED, RESOLVED]);
    expect(said([], parent('shelf', 80))).to.deep.equal([ACCEPTED, RESOLVED]);
  });

  it('does not accept one to a service or a port that is not there, until it is', () => {
    const missing = 'Accepted False NoMatchingParent: service shop/late not found';
    expect(said([], parent('late'))).to.deep.equal([missing, RESOLVED]);
    world.inputs.services.set(serviceRecord('late'));
    expect(said([], parent('late'))).to.deep.equal([ACCEPTED, RESOLVED]);
    expect(said([], parent('shelf', 81))[0]).to.equal(
      'Accepted False NoMatchingParent: service shop/shelf has no port 81',
    );
  });

  it('tells of rules that never hold', () => {
    const why =
      'rule 0 has matches that can not be read (path "(" is no regular expression of RE2: missing closing ))';
    expect(said([never])[0]).to.equal(`Accepted False UnsupportedValue: ${why}`);
    expect(said([never, {}])[0]).to.equal(`${ACCEPTED}, but ${why}`);
  });

  it('tells the first of many problems, and how many there are', () => {
    const gone = Array.from({ length: 10 }, (_, index) => ({ name: `gone-${index}`, port: 80 }));
    const [, message = ''] = said([{ backendRefs: gone }]);
    expect(message).to.match(/service shop\/gone-7 not found, and 2 more$/);
  });

  const unresolved: readonly [rules: readonly object[], expected: string][] = [
    [backend({ name: 'gone', port: 80 }), 'BackendNotFound: service shop/gone not found'],
    [
      backend({ name: 'shelf', port: 81 }),
      'InvalidDestinationPort: service shop/shelf has no port 81',
    ],
    [
      backend({ group: 'example.com', kind: 'Bucket', name: 'b' }),
      'InvalidKind: backend of kind "Bucket" is not supported',
    ],
    [
      [{ filters: [{ type: 'ExtensionRef' }] }],
      'InvalidFilter: filter "ExtensionRef" is not supported',
    ],
  ];
  for (const [rules, expected] of unresolved) {
    it(`says ${expected}`, () => {
      expect(said(rules)).to.deep.equal([ACCEPTED, `ResolvedRefs False ${expected}`]);
    });
  }

  it('tells all that can not be resolved, and of several reasons one', () => {
    const refs = [
      { name: 'shelf', port: 81 },
      { name: 'gone', port: 80 },
      { kind: 'Bucket', name: 'b' },
    ];
    expect(said([{ backendRefs: refs }])[1]).to.equal(
      'ResolvedRefs False InvalidKind: backend of kind "Bucket" is not supported, service shop/gone not found, service shop/shelf has no port 81',
    );
  });

  it('says nothing of routes of gateways that are no waypoints', () => {
    expect(said([], ofGateways('gone'))).to.deep.equal([]);
    world.inputs.gateways.set(gatewayRecord('shelf', { className: 'nginx' }));
    expect(said([], ofGateways('shelf'))).to.deep.equal([]);
  });

  it('tells who has forgotten group or kind of a service what is wanted', () => {
    const want = 'routes of a waypoint have services as parents: want group "", kind Service';
    const refused = 'Accepted False NoMatchingParent:';
    expect(said([], ofGateways('shelf'))[0]).to.equal(
      `${refused} gateway shop/shelf not found; ${want}`,
    );
    expect(said([], ofGateways('shelf', 'Service'))[0]).to.equal(
      `${refused} there is no kind Service in group gateway.networking.k8s.io; ${want}`,
    );
    world.inputs.gateways.set(gatewayRecord('way'));
    expect(said([], ofGateways('way'))[0]).to.equal(
      `${refused} gateway shop/way is a waypoint; ${want}`,
    );
  });

  it('says whether a waypoint goes by the route, or why none does', () => {
    const use = { 'istio.io/use-waypoint': 'way' };
    const bound = (namespace = 'shop', ref = parent('shelf')): string | undefined =>
      all([], ref, namespace).find((one) => one.startsWith('ResolvedWaypoints'));
    const begins = 'ResolvedWaypoints True ResolvedWaypoints: The route has no effect:';
    expect(bound()).to.equal(`${begins} service shop/shelf asks for no waypoint`);
    expect(bound('shop', parent('gone'))).to.equal(`${begins} see Accepted`);
    world.inputs.services.set(serviceRecord('shelf', { labels: use }));
    expect(bound()).to.equal(
      `${begins} service shop/shelf is not bound to waypoint shop/way: WaypointIsNotReady`,
    );
    const addresses = [{ kind: 'hostname', hostname: 'way.shop.svc.cluster.local' } as const];
    world.inputs.gateways.set(gatewayRecord('way', { addresses }));
    expect(bound()).to.equal(
      'ResolvedWaypoints True ResolvedWaypoints: Waypoint shop/way goes by the route',
    );
    expect(bound('store')).to.equal(
      `${begins} waypoint shop/way goes by routes of its own namespace and of shop`,
    );
  });

  it('tells of a parent as it is written', () => {
    const written = { group: '', kind: 'Service', name: 'shelf', sectionName: 'http' };
    said([], parentRef('shelf', { written }));
    const { parents } = world.mesh.routeVerdicts.get('HTTPRoute/shop/split') ?? {};
    expect(parents?.map(({ ref }) => ref)).to.deep.equal([written]);
  });
});
