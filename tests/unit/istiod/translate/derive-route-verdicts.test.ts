import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import {
  type MeshWorld,
  meshWorld,
  routeRecord,
  serviceRecord,
} from '#tests/support/control-plane.ts';

let world: MeshWorld;

function parent(name: string, port?: number) {
  return { group: '', kind: 'Service', namespace: 'shop', name, port };
}
/** Each condition of each parent as `type status reason: message`. */
function said(rules: readonly unknown[], ref = parent('shelf')): string[] {
  world.inputs.httpRoutes.set(routeRecord('split', { parentRefs: [ref], rules }));
  const { parents = [] } = world.mesh.routeVerdicts.get('HTTPRoute/shop/split') ?? {};
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
    const why = 'rule 0 has matches that can not be read';
    expect(said([never])[0]).to.equal(`Accepted False UnsupportedValue: ${why}`);
    expect(said([never, {}])[0]).to.equal(`${ACCEPTED}, but ${why}`);
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

  it('says nothing of routes of gateways', () => {
    const gateway = { ...parent('way'), group: 'gateway.networking.k8s.io', kind: 'Gateway' };
    expect(said([], gateway)).to.deep.equal([]);
  });
});
