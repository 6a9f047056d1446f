import { expect } from 'chai';
import { array, assert, property, record, subarray } from 'fast-check';
import { describe, it } from 'mocha';

import { diff, EMPTY_DELTA, EMPTY_SNAPSHOT, type MeshSnapshot } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { cidr, policy, ports, service, serving, workload } from '#tests/support/mesh.ts';

const web = service('web.example', '10.1.0.1');
const snapshot: MeshSnapshot = {
  workloads: [serving(workload('a', '10.0.0.1'), [web, ports({ 80: 1 })])],
  services: [web],
  policies: [policy('no', { sourceIps: [cidr('10.0.0.0/8')] })],
};

describe('diff()', () => {
  it('finds nothing between equal snapshots that share no object', () => {
    expect(diff(snapshot, structuredClone(snapshot))).to.deep.equal(EMPTY_DELTA);
  });

  it('finds everything from nothing, and back', () => {
    expect(diff(EMPTY_SNAPSHOT, snapshot)).to.deep.equal({
      ...EMPTY_DELTA,
      upsertWorkloads: snapshot.workloads,
      upsertServices: snapshot.services,
      upsertPolicies: snapshot.policies,
    });
    expect(diff(snapshot, EMPTY_SNAPSHOT)).to.deep.equal({
      ...EMPTY_DELTA,
      removeWorkloads: ['Kubernetes//Pod/default/a'],
      removeServices: ['default/web.example'],
      removePolicies: ['default/no'],
    });
  });

  it('finds a change deep inside a map', () => {
    const changed = serving(workload('a', '10.0.0.1'), [web, ports({ 80: 2 })]);
    const delta = diff(snapshot, { ...snapshot, workloads: [changed] });
    expect(delta).to.deep.equal({ ...EMPTY_DELTA, upsertWorkloads: [changed] });
  });

  it('survives being posted to a thread', () => {
    const delta = diff(EMPTY_SNAPSHOT, snapshot);
    expect(structuredClone(delta)).to.deep.equal(delta);
  });

  it('leads a store from any snapshot to any other', () => {
    const choices = (name: string) => [
      workload(name, '10.0.0.1'),
      serving(workload(name, '10.0.0.2'), [web, ports({ 80: 1 })]),
    ];
    const anySnapshot = record({
      workloads: subarray([choices('a')[0]!, choices('b')[0]!, choices('c')[1]!]),
      services: subarray([web, service('other.example', '10.1.0.2')]),
      policies: subarray([policy('p', {}), policy('q', { destinationPorts: [1] })]),
    });
    assert(
      property(array(anySnapshot, { minLength: 2, maxLength: 5 }), (steps) => {
        const store = new MeshStore();
        let before: MeshSnapshot = EMPTY_SNAPSHOT;
        for (const after of steps) {
          store.apply(diff(before, after));
          before = after;
        }
        expect(diff(store.snapshot(), before)).to.deep.equal(EMPTY_DELTA);
        expect(diff(before, store.snapshot())).to.deep.equal(EMPTY_DELTA);
      }),
      { numRuns: 200 },
    );
  });
});
