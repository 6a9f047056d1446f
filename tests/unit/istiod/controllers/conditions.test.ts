import { expect } from 'chai';
import { describe, it } from 'mocha';

import { nextConditions } from '#istiod/controllers/conditions.ts';
import type { Condition, KubeObject } from '#kube/resources.ts';

const NOW_MS = Date.UTC(2026, 0, 2);
const TYPE = 'ZtunnelAccepted';

function object(conditions?: readonly Condition[]): KubeObject {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'rule', namespace: 'shop', generation: 3 },
    ...(conditions === undefined ? {} : { status: { conditions } }),
  };
}
const fine = { status: 'True', reason: 'Accepted', message: 'attached' } as const;
const accepted: Condition = {
  type: TYPE,
  ...fine,
  observedGeneration: 3,
  lastTransitionTime: '2026-01-01T00:00:00Z',
};
const foreign: Condition = { type: 'WaypointAccepted', status: 'True' };

describe('nextConditions()', () => {
  it('adds the condition, with the generation that it is about', () => {
    expect(nextConditions(object(), TYPE, fine, NOW_MS)).to.deep.equal([
      { ...accepted, lastTransitionTime: '2026-01-02T00:00:00Z' },
    ]);
  });

  it('names no generation of an object that has none, as Services', () => {
    const service = { ...object(), metadata: { name: 'shelf', namespace: 'shop' } };
    const [condition] = nextConditions(service, TYPE, fine, NOW_MS) ?? [];
    expect(condition).to.not.have.property('observedGeneration');
    const again = { ...service, status: { conditions: [condition] } };
    expect(nextConditions(again, TYPE, fine, NOW_MS)).to.equal(undefined);
  });

  it('writes nothing when all of it is there', () => {
    expect(nextConditions(object([foreign, accepted]), TYPE, fine, NOW_MS)).to.equal(undefined);
    expect(nextConditions(object([foreign]), TYPE, undefined, NOW_MS)).to.equal(undefined);
  });

  it('leaves the conditions of others, and the time when nothing turned', () => {
    const old = { ...accepted, observedGeneration: 2 };
    expect(nextConditions(object([old, foreign]), TYPE, fine, NOW_MS)).to.deep.equal([
      foreign,
      accepted,
    ]);
    const turned = { status: 'False', reason: 'UnsupportedValue', message: 'x' } as const;
    expect(nextConditions(object([accepted]), TYPE, turned, NOW_MS)?.[0]).to.deep.include({
      ...turned,
      lastTransitionTime: '2026-01-02T00:00:00Z',
    });
  });

  it('takes its condition back when there is nothing more to say', () => {
    expect(nextConditions(object([accepted, foreign]), TYPE, undefined, NOW_MS)).to.deep.equal([
      foreign,
    ]);
  });
});
