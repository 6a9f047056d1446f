import { expect } from 'chai';
import { describe, it } from 'mocha';

import { nextParents } from '#istiod/controllers/route-status.ts';
import type { RouteVerdict } from '#istiod/translate/derive-route-verdicts.ts';

const parentRef = { group: '', kind: 'Service', namespace: 'shop', name: 'shelf' };
const NOW_MS = Date.UTC(2026, 0, 2);

function verdict(status: 'True' | 'False', generation = 1): RouteVerdict {
  const stated = { type: 'Accepted', status, reason: 'R', message: 'm' };
  const parents = [{ ref: parentRef, conditions: [stated] }];
  return { kind: 'HTTPRoute', namespace: 'shop', name: 'split', generation, parents };
}
function route(...parents: readonly unknown[]) {
  const metadata = { name: 'split', namespace: 'shop' };
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata,
    status: { parents },
  };
}
function said(status: string, observedGeneration = 1, lastTransitionTime = '2026-01-02T00:00:00Z') {
  const condition = {
    type: 'Accepted',
    status,
    reason: 'R',
    message: 'm',
    observedGeneration,
    lastTransitionTime,
  };
  return { controllerName: 'istio.io/gateway-controller', parentRef, conditions: [condition] };
}
const others = { controllerName: 'example.com/other', parentRef, conditions: [] };
const ofGateway = {
  ...said('True'),
  parentRef: { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'door' },
};
const EARLIER = '2026-01-01T00:00:00Z';

describe('nextParents()', () => {
  it('adds what is said of a parent, and leaves what others say', () => {
    expect(nextParents(route(others), verdict('True'), NOW_MS)).to.deep.equal([
      others,
      said('True'),
    ]);
  });

  it('changes nothing that is said already', () => {
    expect(nextParents(route(others, said('True', 1, EARLIER)), verdict('True'), NOW_MS)).to.equal(
      undefined,
    );
  });

  it('says for which generation it holds, since when only if it turns', () => {
    const before = route(said('True', 1, EARLIER));
    expect(nextParents(before, verdict('True', 2), NOW_MS)).to.deep.equal([
      said('True', 2, EARLIER),
    ]);
    expect(nextParents(before, verdict('False', 2), NOW_MS)).to.deep.equal([said('False', 2)]);
  });

  it('takes away what is said of a parent that is none any more', () => {
    expect(nextParents(route(others, said('True')), undefined, NOW_MS)).to.deep.equal([others]);
    expect(nextParents(route(others), undefined, NOW_MS)).to.equal(undefined);
    // Whoever serves that gateway may have our name.
    expect(nextParents(route(ofGateway), undefined, NOW_MS)).to.equal(undefined);
    // Nobody else speaks of waypoints.
    const [condition] = ofGateway.conditions;
    const conditions = [condition, { ...condition, type: 'ResolvedWaypoints' }];
    expect(nextParents(route({ ...ofGateway, conditions }), undefined, NOW_MS)).to.deep.equal([]);
  });
});
