import { expect } from 'chai';
import { describe, it } from 'mocha';

import { DerivedCollection } from '#istiod/krt/derived.ts';
import { Graph } from '#istiod/krt/graph.ts';
import { StaticCollection } from '#istiod/krt/static.ts';

function world() {
  const graph = new Graph(({ error }) => {
    throw error;
  });
  const numbers = new StaticCollection<number>(graph, 'numbers', { keyOf: String });
  const runs: number[] = [];
  const squares = new DerivedCollection<number, number>(graph, 'squares', numbers, {
    keyOf: String,
    transformation: (n) => {
      runs.push(n);
      return [n * n];
    },
  });
  return { graph, numbers, squares, runs };
}

describe('Graph', () => {
  it('tells subscribers once per transaction, when every collection is up to date', () => {
    const { graph, numbers, squares } = world();
    const seen: number[][] = [];
    numbers.subscribe(() => seen.push([...squares.values()]));
    graph.transact(() => {
      numbers.set(2);
      numbers.set(3);
    });
    expect(seen).to.deep.equal([[4, 9]]);
  });

  it('says nothing of what a transaction did and undid', () => {
    const { graph, numbers } = world();
    let calls = 0;
    numbers.subscribe(() => calls++);
    graph.transact(() => {
      numbers.set(2);
      numbers.delete('2');
    });
    expect(calls).to.equal(0);
  });

  it('computes nothing while it is held, and everything once when it is let go', () => {
    const { graph, numbers, squares, runs } = world();
    const held = graph.hold();
    numbers.set(2);
    numbers.set(3);
    expect(runs).to.deep.equal([]);
    held[Symbol.dispose]();
    held[Symbol.dispose]();
    expect(runs).to.deep.equal([2, 3]);
    expect([...squares.values()]).to.deep.equal([4, 9]);
  });

  it("takes a subscriber's changes as a transaction of their own", () => {
    const { numbers, squares } = world();
    const seen: (readonly (number | undefined)[])[] = [];
    squares.subscribe((changes) => {
      seen.push(changes.map(({ after }) => after));
      if (!numbers.get('5')) numbers.set(5);
    });
    numbers.set(2);
    expect(seen).to.deep.equal([[4], [25]]);
  });

  it('refuses a transformation that changes an input', () => {
    const graph = new Graph(({ error }) => {
      throw error;
    });
    const numbers = new StaticCollection<number>(graph, 'numbers', { keyOf: String });
    const bad = new DerivedCollection<number, number>(graph, 'bad', numbers, {
      keyOf: String,
      transformation: (n) => {
        numbers.set(n + 1);
        return [];
      },
    });
    expect(() => numbers.set(1)).to.throw('a transformation changes nothing');
    expect(bad.size).to.equal(0);
  });
});
