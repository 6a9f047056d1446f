import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { Debounce } from '#istiod/push/debounce.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

describe('Debounce', () => {
  let clock: ManualClock;
  let startMs: number;
  /** What runs have taken: the clock stands still meanwhile. */
  let spentMs: number;
  let runs: { atMs: number; keys: readonly string[] }[];
  /** When the first change of each run came. */
  let firsts: number[];
  let runTakesMs: number;
  let debounce: Debounce;

  beforeEach(() => {
    clock = new ManualClock();
    startMs = clock.now();
    spentMs = 0;
    runs = [];
    firsts = [];
    runTakesMs = 0;
    debounce = new Debounce({
      clock,
      elapsed: () => clock.now() + spentMs,
      run: (changes, sinceMs) => {
        firsts.push(sinceMs - startMs);
        const keys = [...changes].flatMap(([kind, names]) => [...names].map((n) => `${kind}/${n}`));
        runs.push({ atMs: clock.now() + spentMs - startMs, keys });
        spentMs += runTakesMs;
      },
    });
  });

  it('runs at once after a quiet time, with all that the same turn adds', async () => {
    debounce.add('x', ['1']);
    debounce.add('y', ['2']);
    debounce.add('x', ['1', '3']);
    await clock.advance(0);
    expect(runs).to.deep.equal([{ atMs: 0, keys: ['x/1', 'x/3', 'y/2'] }]);
  });

  it('collects what comes soon after a run', async () => {
    debounce.add('x', ['1']);
    await clock.advance(3);
    debounce.add('x', ['2']);
    await clock.advance(3);
    debounce.add('x', ['3']);
    await clock.advance(20);
    expect(runs).to.deep.equal([
      { atMs: 0, keys: ['x/1'] },
      { atMs: 10, keys: ['x/2', 'x/3'] },
    ]);
    debounce.add('x', ['4']);
    await clock.advance(0);
    expect(runs.at(-1)).to.deep.equal({ atMs: 26, keys: ['x/4'] });
  });

  it('waits longer when a run takes long, but not for ever', async () => {
    for (const [takesMs, gapMs] of [
      [50, 200],
      [1_000, 500],
    ] as const) {
      runTakesMs = takesMs;
      debounce.add('x', ['1']);
      await clock.advance(0);
      const endedMs = clock.now() + spentMs - startMs;
      debounce.add('x', ['2']);
      await clock.advance(gapMs + 1);
      expect(runs.at(-1)?.atMs).to.equal(endedMs + gapMs);
      await clock.advance(1_000);
    }
  });

  it('runs no more when it is disposed, neither soon nor later', async () => {
    debounce.add('x', ['1']);
    debounce[Symbol.dispose]();
    await clock.advance(100);
    expect(runs).to.deep.equal([]);
  });

  it('says when the first change of a run came', async () => {
    debounce.add('x', ['1']);
    await clock.advance(3);
    debounce.add('x', ['2']);
    await clock.advance(2);
    debounce.add('x', ['3']);
    await clock.advance(5);
    expect(runs.map(({ atMs }) => atMs)).to.deep.equal([0, 10]);
    expect(firsts).to.deep.equal([0, 3]);
  });
});
