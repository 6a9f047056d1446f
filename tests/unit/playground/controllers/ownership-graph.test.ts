import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type DependentPlan,
  type OwnerState,
  OwnershipGraph,
  planDependent,
} from '#playground/controllers/ownership-graph.ts';
import { ownedBy, pod } from '#tests/support/workloads.ts';

function plan(
  states: Record<string, OwnerState>,
  finalizers: string[] = [],
  hasDependents = false,
): DependentPlan {
  const { metadata, ...rest } = pod('p');
  const ownerReferences = Object.keys(states).map(ownedBy);
  const object = { ...rest, metadata: { ...metadata, ownerReferences, finalizers } };
  return planDependent(object, ({ uid }) => states[uid] ?? 'unknown', hasDependents);
}

describe('planDependent()', () => {
  it('keeps an object as long as one of its owners is there, without those that are not', () => {
    expect(plan({ a: 'present' })).to.deep.equal({ kind: 'nothing' });
    expect(plan({ a: 'present', b: 'absent' })).to.deep.equal({
      kind: 'drop-owners',
      uids: new Set(['b']),
    });
  });

  it('deletes an object whose last owner is gone or waits for it', () => {
    expect(plan({ a: 'absent' })).to.deep.equal({ kind: 'delete', policy: 'Background' });
    expect(plan({ a: 'waiting' })).to.deep.equal({ kind: 'delete', policy: 'Background' });
    expect(plan({ a: 'waiting' }, [], true)).to.deep.equal({
      kind: 'delete',
      policy: 'Foreground',
    });
  });

  it('deletes as the object itself was to be deleted', () => {
    expect(plan({ a: 'absent' }, ['orphan'])).to.deep.equal({ kind: 'delete', policy: 'Orphan' });
    expect(plan({ a: 'absent' }, ['foregroundDeletion'])).to.deep.equal({
      kind: 'delete',
      policy: 'Foreground',
    });
  });

  it('does nothing about owners of a kind that it cannot see', () => {
    expect(plan({ a: 'unknown', b: 'absent' })).to.deep.equal({ kind: 'nothing' });
    expect(plan({})).to.deep.equal({ kind: 'nothing' });
  });
});

describe('OwnershipGraph', () => {
  it('knows who owns whom, and forgets who is gone', () => {
    const graph = new OwnershipGraph();
    const names = (uid: string): readonly string[] =>
      graph.dependentsOf(uid).map(({ metadata }) => metadata.name);
    graph.put(pod('1', { owner: 'web' }));
    graph.put(pod('2', { owner: 'web' }));
    expect(names('web')).to.deep.equal(['1', '2']);
    graph.put(pod('1', { owner: 'other' }));
    graph.remove('2-uid');
    expect(names('web')).to.deep.equal([]);
    expect(names('other')).to.deep.equal(['1']);
    expect(graph.blockersOf('other')).to.have.length(1);
  });
});
