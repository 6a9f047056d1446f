import { expect } from 'chai';
import { array, assert, constantFrom, property, record } from 'fast-check';
import { describe, it } from 'mocha';

import { Replica } from '#kube/replica.ts';
import type { ConfigMap } from '#kube/resources.ts';

/** The server's side: names → [uid, version], changed at random. */
type World = ReadonlyMap<string, { readonly uid: string; readonly version: string }>;

function object(name: string, uid: string, resourceVersion: string): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, uid, resourceVersion } };
}

const worlds = array(
  array(
    record({
      name: constantFrom('a', 'b', 'c'),
      uid: constantFrom('1', '2'),
      version: constantFrom('1', '2', '3'),
    }),
    { maxLength: 3 },
  ).map((rows): World => new Map(rows.map(({ name, ...rest }) => [name, rest]))),
);

describe('Replica', () => {
  it('tells what leads from one list to the next, whatever happened in between', () => {
    assert(
      property(worlds, (history) => {
        const replica = new Replica<ConfigMap>();
        const told = new Map<string, string>();
        for (const world of history) {
          const objects = [...world].map(([name, { uid, version }]) => object(name, uid, version));
          for (const change of replica.replace(objects)) {
            const { name, uid = '', resourceVersion = '' } = change.object.metadata;
            const known = told.get(name);
            if (change.kind === 'added') expect(known).to.equal(undefined);
            else expect(known?.split('@')[0]).to.equal(uid);
            if (change.kind === 'removed') told.delete(name);
            else told.set(name, `${uid}@${resourceVersion}`);
          }
          const expected = [...world].map(([name, each]) => [name, `${each.uid}@${each.version}`]);
          expect([...told]).to.have.deep.members(expected);
          expect(replica.list()).to.have.length(world.size);
        }
      }),
    );
  });

  it('says nothing of an event that repeats what is known', () => {
    const replica = new Replica<ConfigMap>();
    replica.put(object('a', '1', '5'));
    expect(replica.put(object('a', '1', '5'))).to.deep.equal([]);
    expect(replica.remove(object('b', '1', '5'))).to.deep.equal([]);
  });

  it('tells of a removal with the last form of the object', () => {
    const replica = new Replica<ConfigMap>();
    replica.put(object('a', '1', '5'));
    expect(replica.remove(object('a', '1', '6'))).to.deep.equal([
      { kind: 'removed', object: object('a', '1', '6') },
    ]);
  });
});
