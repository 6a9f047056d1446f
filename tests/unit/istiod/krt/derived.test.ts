import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Change } from '#istiod/krt/core.ts';
import { DerivedCollection, type Transformation } from '#istiod/krt/derived.ts';
import { type Fault, Graph } from '#istiod/krt/graph.ts';
import { StaticCollection } from '#istiod/krt/static.ts';

interface Item {
  readonly key: string;
  readonly group: string;
  readonly size: number;
}

function item(key: string, group = 'x', size = 1): Item {
  return { key, group, size };
}

/** Two inputs and one collection made of the first; which of its items were computed is noted. */
function world(transformation: Transformation<Item, Item>) {
  const faults: Fault[] = [];
  const graph = new Graph((fault) => faults.push(fault));
  const options = { keyOf: ({ key }: Item) => key };
  const source = new StaticCollection<Item>(graph, 'source', options);
  const other = new StaticCollection<Item>(graph, 'other', options);
  const otherByGroup = other.indexBy('group', ({ group }) => [group]);
  const computed: string[] = [];
  const derived = new DerivedCollection<Item, Item>(graph, 'derived', source, {
    ...options,
    transformation: (one, fetch) => {
      computed.push(one.key);
      return transformation(one, fetch);
    },
  });
  const changes: Change<Item>[] = [];
  derived.subscribe((more) => changes.push(...more));
  return { graph, source, other, otherByGroup, derived, computed, changes, faults };
}

type World = ReturnType<typeof world>;

function clear({ computed, changes }: World): void {
  computed.length = 0;
  changes.length = 0;
}

describe('DerivedCollection', () => {
  it('computes an item again only when the key that it fetched changes', () => {
    const w: World = world((one, fetch) => [
      item(one.key, one.group, fetch.one(w.other, one.key)?.size),
    ]);
    w.graph.transact(() => ['a', 'b'].forEach((key) => w.source.set(item(key))));
    clear(w);
    w.other.set(item('b', 'x', 7));
    w.other.set(item('c', 'x', 7));
    expect(w.computed).to.deep.equal(['b']);
    expect(w.derived.get('b')?.size).to.equal(7);
  });

  it('computes an item again when what it fetched comes, changes, leaves its slice, or goes', () => {
    const w: World = world((one, fetch) => [
      item(one.key, '', fetch.all(w.other, { within: w.otherByGroup.at(one.group) }).length),
    ]);
    w.source.set(item('a', 'x'));
    const sizes = [
      () => w.other.set(item('o', 'x')),
      () => w.other.set(item('o', 'y')),
      () => w.other.set(item('o', 'x')),
      () => w.other.delete('o'),
    ].map((change) => {
      change();
      return w.derived.get('a')?.size;
    });
    expect(sizes).to.deep.equal([1, 0, 1, 0]);
    clear(w);
    w.other.set(item('p', 'y'));
    expect(w.computed).to.deep.equal([]);
  });

  it('is not computed again by an item that passes the predicate neither before nor after', () => {
    const w: World = world((one, fetch) => [
      item(one.key, '', fetch.all(w.other, { where: ({ size }) => size > 5 }).length),
    ]);
    w.source.set(item('a'));
    clear(w);
    w.other.set(item('o', 'x', 1));
    w.other.set(item('o', 'x', 2));
    expect(w.computed).to.deep.equal([]);
    w.other.set(item('o', 'x', 6));
    w.other.set(item('o', 'x', 3));
    expect(w.computed).to.deep.equal(['a', 'a']);
    expect(w.derived.get('a')?.size).to.equal(0);
  });

  it('forgets what an item fetched when the item goes, and what an earlier run fetched', () => {
    const w: World = world((one, fetch) => [
      item(one.key, '', one.size === 1 ? fetch.all(w.other).length : 0),
    ]);
    w.source.set(item('a'));
    w.source.set(item('a', 'x', 2));
    expect(w.other.describe().readings).to.equal(0);
    w.source.set(item('a'));
    expect(w.other.describe().readings).to.equal(1);
    w.source.delete('a');
    expect(w.other.describe().readings).to.equal(0);
    clear(w);
    w.other.set(item('o'));
    expect(w.computed).to.deep.equal([]);
  });

  it('says nothing when what was computed again is equal', () => {
    const w: World = world((one) => [item(one.key)]);
    w.source.set(item('a', 'x', 1));
    clear(w);
    w.source.set(item('a', 'x', 2));
    expect(w.computed).to.deep.equal(['a']);
    expect(w.changes).to.deep.equal([]);
  });

  it('keeps the item of the smallest source key when several name one key, whatever the order', () => {
    const w: World = world((one) => [item('same', one.key)]);
    w.source.set(item('b'));
    w.source.set(item('a'));
    w.source.set(item('c'));
    expect(w.derived.get('same')?.group).to.equal('a');
    w.source.delete('a');
    expect(w.derived.get('same')?.group).to.equal('b');
    w.source.delete('b');
    w.source.delete('c');
    expect(w.derived.size).to.equal(0);
  });

  it('keeps what it has when its transformation throws, reports it, and computes it again later', () => {
    const w: World = world((one, fetch) => {
      if (fetch.one(w.other, 'broken') !== undefined) throw new Error('as planned');
      return [one];
    });
    w.source.set(item('a'));
    w.other.set(item('broken'));
    expect(w.faults.map(({ collection, key }) => [collection, key])).to.deep.equal([
      ['derived', 'a'],
    ]);
    expect(w.derived.get('a')).to.deep.equal(item('a'));
    w.graph.transact(() => {
      w.source.set(item('a', 'y'));
      w.other.delete('broken');
    });
    expect(w.derived.get('a')).to.deep.equal(item('a', 'y'));
  });

  it('refuses to fetch from a collection that was made after it, and to fetch late', () => {
    const late: World[] = [];
    const w: World = world((one, fetch) => {
      late.forEach(({ derived }) => fetch.one(derived, 'a'));
      return [one];
    });
    late.push(w);
    w.source.set(item('a'));
    expect(String(w.faults[0]?.error)).to.contain('only from collections made before it');
  });

  it('is synced when its source and everything that it ever fetched from are', () => {
    const w: World = world((one, fetch) => [item(one.key, '', fetch.all(w.other).length)]);
    w.source.set(item('a'));
    w.source.markSynced();
    expect(w.derived.isSynced).to.equal(false);
    w.other.markSynced();
    expect(w.derived.isSynced).to.equal(true);
  });
});
