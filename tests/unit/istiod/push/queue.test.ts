import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { PushQueue, type PushTarget } from '#istiod/push/queue.ts';

const change = (...names: string[]) => new Map([['x', new Set(names)]]);

describe('PushQueue', () => {
  let nowMs: number;
  let later: (() => void)[];
  let told: string[];
  /** Of each client that was told: since the change, and since it waits. */
  let waits: [number, number][];
  let queue: PushQueue;

  beforeEach(() => {
    nowMs = 0;
    later = [];
    told = [];
    waits = [];
    queue = new PushQueue({
      elapsed: () => nowMs,
      later: (run) => later.push(run),
      onTold: (sinceMs, queuedMs) => waits.push([nowMs - sinceMs, nowMs - queuedMs]),
    });
  });

  /** A client whose push takes so long. */
  function target(name: string, takesMs = 0): PushTarget {
    return {
      push: (changes) => {
        const keys = [...changes].flatMap(([kind, names]) => [...names].map((n) => kind + n));
        told.push(`${name}: ${keys.join(' ')}`);
        nowMs += takesMs;
      },
    };
  }
  const turn = () => {
    for (const run of later.splice(0)) run();
  };

  it('tells clients in the order given, at once', () => {
    queue.add([target('a'), target('b')], change('1'), 0);
    expect(told).to.deep.equal(['a: x1', 'b: x1']);
    expect(queue.size).to.equal(0);
    expect(later).to.deep.equal([]);
  });

  it('lets other work be done when it takes long', () => {
    queue.add([target('a', 6), target('b', 6), target('c')], change('1'), 0);
    expect(told).to.deep.equal(['a: x1', 'b: x1']);
    expect(queue.size).to.equal(1);
    turn();
    expect(told).to.deep.equal(['a: x1', 'b: x1', 'c: x1']);
    expect(later).to.deep.equal([]);
  });

  it('merges what a waiting client has still to be told, and leaves it its place', () => {
    const [slow, b, c] = [target('slow', 10), target('b'), target('c')];
    queue.add([slow, b, c], change('1'), 0);
    queue.add([c, b], change('2'), 0);
    expect(told).to.deep.equal(['slow: x1']);
    turn();
    expect(told).to.deep.equal(['slow: x1', 'b: x1 x2', 'c: x1 x2']);
  });

  it('forgets a client that has gone', () => {
    const [slow, b] = [target('slow', 10), target('b')];
    queue.add([slow, b], change('1'), 0);
    queue.remove(b);
    turn();
    expect(told).to.deep.equal(['slow: x1']);
    expect(later).to.deep.equal([]);
  });

  it('says how long each client has waited, from the first change on', () => {
    nowMs = 100;
    const slow = target('slow', 20);
    const b = target('b');
    queue.add([slow, b], change('1'), 70);
    nowMs = 140;
    queue.add([b], change('2'), 135);
    turn();
    expect(told).to.deep.equal(['slow: x1', 'b: x1 x2']);
    expect(waits).to.deep.equal([
      [50, 20],
      [70, 40],
    ]);
  });
});
