import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import type { Change, Readable } from '#istiod/krt/core.ts';
import { dumpGraph } from '#istiod/krt/debug.ts';
import { DerivedCollection } from '#istiod/krt/derived.ts';
import { type Labels, selecting } from '#istiod/krt/filter.ts';
import { Graph } from '#istiod/krt/graph.ts';
import { JoinedCollection } from '#istiod/krt/join.ts';
import { Singleton } from '#istiod/krt/singleton.ts';
import { StaticCollection } from '#istiod/krt/static.ts';

interface Input {
  readonly key: string;
  readonly group: string;
  readonly labels: Labels;
  readonly number: number;
}

interface Output {
  readonly key: string;
  readonly said: unknown;
}

type Step =
  | { readonly kind: 'set'; readonly input: 'first' | 'second'; readonly item: Input }
  | { readonly kind: 'delete'; readonly input: 'first' | 'second'; readonly key: string };

/** A graph with every kind of collection and of reading, in which everything depends on everything before it. */
class World {
  readonly graph = new Graph(({ error }) => {
    throw error;
  });
  readonly first: StaticCollection<Input> = input(this.graph, 'first');
  readonly second: StaticCollection<Input> = input(this.graph, 'second');
  /** Collection name and key of each transformation that ran in this transaction. */
  runs: string[] = [];

  constructor() {
    const secondOfGroup = this.second.indexBy('group', ({ group }) => [group]);
    const one = this.#derive('one', this.first, (item, fetch) => [
      { key: item.key, said: [item.number, fetch.one(this.second, item.key)?.number] },
    ]);
    const many = this.#derive('many', this.first, (item) =>
      // Keys that several sources name.
      Array.from({ length: item.number }, (_, n) => ({ key: `${item.group}${n}`, said: item.key })),
    );
    const grouped = this.#derive('grouped', this.first, (item, fetch) => {
      const within = secondOfGroup.at(item.group);
      return [{ key: item.key, said: fetch.all(this.second, { within }).map(({ key }) => key) }];
    });
    const selected = this.#derive('selected', this.second, (item, fetch) => {
      const where = selecting(item.labels, ({ labels }: Input) => labels);
      return [{ key: item.key, said: fetch.all(this.first, { where }).map(({ key }) => key) }];
    });
    const total = new Singleton(this.graph, 'total', (fetch) =>
      fetch.all(this.first).length === 0
        ? undefined
        : fetch.all(one).reduce((sum, { said }) => sum + Number((said as number[])[0]), 0),
    );
    const joined = new JoinedCollection<Output>(this.graph, 'joined', {
      keyOf: ({ key }) => key,
      parts: [selected, one, many, grouped],
    });
    // Reads a collection by an index of a derived one, and what it finds decides what else it reads.
    const joinedByKey = joined.indexBy('initial', ({ key }) => [key.slice(0, 1)]);
    this.#derive('deep', joined, (item, fetch) => {
      const twin = fetch.one(this.first, item.key);
      const alike =
        twin === undefined
          ? fetch.all(joined, { within: joinedByKey.at(item.key.slice(0, 1)) })
          : fetch.all(grouped, { where: ({ key }) => key > twin.key });
      return [{ key: item.key, said: [alike.map(({ key }) => key), total.fetch(fetch)] }];
    });
  }

  apply(steps: readonly Step[]): void {
    this.runs = [];
    this.graph.transact(() => {
      for (const step of steps) {
        const collection = step.input === 'first' ? this.first : this.second;
        if (step.kind === 'set') collection.set(step.item);
        else collection.delete(step.key);
      }
    });
  }

  dump(): unknown {
    return dumpGraph(this.graph).map(({ name, items, readings }) => ({ name, items, readings }));
  }

  #derive<S extends { readonly key: string }>(
    name: string,
    source: Readable<S>,
    transformation: ConstructorParameters<typeof DerivedCollection<S, Output>>[3]['transformation'],
  ): DerivedCollection<S, Output> {
    return new DerivedCollection(this.graph, name, source, {
      keyOf: ({ key }) => key,
      transformation: (item, fetch) => {
        this.runs.push(`${name} ${item.key}`);
        return transformation(item, fetch);
      },
    });
  }
}

function input(graph: Graph, name: string): StaticCollection<Input> {
  return new StaticCollection(graph, name, { keyOf: ({ key }) => key });
}

const key = fc.constantFrom('a', 'b', 'c', 'x0');
const label = fc.constantFrom('1', '2');
const labels = fc.dictionary(fc.constantFrom('app', 'tier'), label, { noNullPrototype: true });
const item: fc.Arbitrary<Input> = fc.record({
  key,
  group: fc.constantFrom('x', 'y'),
  labels,
  number: fc.integer({ min: 0, max: 3 }),
});
const inputName = fc.constantFrom<'first' | 'second'>('first', 'second');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('set' as const), input: inputName, item }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), input: inputName, key }),
  },
);
const transactions = fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 12 });

/** Everything that is in the inputs now, put into a new world at once. */
function fromScratch(world: World): World {
  const fresh = new World();
  fresh.graph.transact(() => {
    for (const one of world.first.values()) fresh.first.set(one);
    for (const one of world.second.values()) fresh.second.set(one);
  });
  return fresh;
}

function named(world: World, name: string): Readable<Output> {
  return world.graph.members.find((member) => member.name === name) as unknown as Readable<Output>;
}

describe('The law of collections', () => {
  it('after any changes, each collection holds what it would hold had it been computed from scratch', () => {
    fc.assert(
      fc.property(transactions, (list) => {
        const world = new World();
        for (const steps of list) {
          world.apply(steps);
          expect(world.dump()).to.deep.equal(fromScratch(world).dump());
        }
      }),
      { numRuns: 300 },
    );
  });

  it('a transaction computes each item at most once', () => {
    fc.assert(
      fc.property(transactions, (list) => {
        const world = new World();
        for (const steps of list) {
          world.apply(steps);
          expect(world.runs).to.have.lengthOf(new Set(world.runs).size);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('the events of a collection, replayed, give its content, and none of them changes nothing', () => {
    fc.assert(
      fc.property(transactions, (list) => {
        const world = new World();
        const mirrors = ['one', 'many', 'joined', 'deep', 'total'].map((name) => {
          const collection = named(world, name);
          const mirror = new Map<string, unknown>();
          collection.subscribe((changes) => replay(mirror, changes));
          return { collection, mirror };
        });
        for (const steps of list) {
          world.apply(steps);
          for (const { collection, mirror } of mirrors) {
            const content = [...collection.keys()].map((k) => [k, collection.get(k)] as const);
            expect(new Map(mirror)).to.deep.equal(new Map(content));
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

function replay(mirror: Map<string, unknown>, changes: readonly Change<unknown>[]): void {
  expect(new Set(changes.map((change) => change.key)).size).to.equal(changes.length);
  for (const { key: changed, before, after } of changes) {
    expect(mirror.get(changed)).to.deep.equal(before);
    expect(after).to.not.deep.equal(before);
    if (after === undefined) mirror.delete(changed);
    else mirror.set(changed, after);
  }
}
