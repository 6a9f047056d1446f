import { expect } from 'chai';
import * as fc from 'fast-check';
import { beforeEach, describe, it } from 'mocha';

import { type Timer, TimerWheel } from '#reactor/timers.ts';

const SLOT_MS = 16;
const REVOLUTION_MS = 512 * SLOT_MS;

const rethrow = (_timer: Timer, error: unknown): void => {
  throw error;
};

describe('TimerWheel', () => {
  let wheel: TimerWheel;
  let called: string[];
  const timer = (name: string, then?: () => void): Timer => ({
    onTimer: (nowMs) => {
      called.push(`${name} at ${nowMs}`);
      then?.();
    },
  });

  beforeEach(() => {
    wheel = new TimerWheel(0);
    called = [];
  });

  it('calls a timer once, not before its time, and at most 16 ms after', () => {
    wheel.schedule(timer('a'), 100);
    wheel.advance(99, rethrow);
    expect(called).to.deep.equal([]);
    wheel.advance(100 + SLOT_MS, rethrow);
    wheel.advance(10_000, rethrow);
    expect(called).to.deep.equal([`a at ${100 + SLOT_MS}`]);
    expect(wheel.size).to.equal(0);
  });

  it('moves a timer that is set again, earlier or later', () => {
    const moved = timer('a');
    wheel.schedule(moved, 100);
    wheel.schedule(moved, 500);
    wheel.advance(400, rethrow);
    expect(called).to.deep.equal([]);
    wheel.schedule(moved, 450);
    expect(wheel.size).to.equal(1);
    wheel.advance(470, rethrow);
    expect(called).to.deep.equal(['a at 470']);
  });

  it('keeps a timer of more than a revolution for its own revolution', () => {
    const dueMs = 3 * REVOLUTION_MS + 100;
    wheel.schedule(timer('a'), dueMs);
    for (let nowMs = 0; nowMs < dueMs; nowMs += 100) wheel.advance(nowMs, rethrow);
    expect(called).to.deep.equal([]);
    wheel.advance(dueMs + SLOT_MS, rethrow);
    expect(called).to.have.length(1);
  });

  it('calls in the order of time after a pause of more than a revolution', () => {
    wheel.schedule(timer('late'), REVOLUTION_MS + 32);
    wheel.schedule(timer('early'), 64);
    wheel.advance(2 * REVOLUTION_MS, rethrow);
    expect(called.map((call) => call.split(' ')[0])).to.deep.equal(['early', 'late']);
  });

  it('does not call a timer that an earlier one cancels or moves in the same turn', () => {
    const cancelled = timer('cancelled');
    const moved = timer('moved');
    wheel.schedule(
      timer('first', () => {
        wheel.cancel(cancelled);
        wheel.schedule(moved, 1_000);
      }),
      10,
    );
    wheel.schedule(cancelled, 50);
    wheel.schedule(moved, 50);
    wheel.advance(100, rethrow);
    expect(called).to.deep.equal(['first at 100']);
    expect(wheel.size).to.equal(1);
  });

  it('leaves a timer that is set for the past to the next turn', () => {
    const again: Timer = timer('again', () => wheel.schedule(again, 0));
    wheel.schedule(again, 0);
    wheel.advance(SLOT_MS, rethrow);
    expect(called).to.have.length(1);
    wheel.advance(2 * SLOT_MS, rethrow);
    expect(called).to.have.length(2);
  });

  it('calls the others when one throws', () => {
    const failures: unknown[] = [];
    wheel.schedule(
      timer('bad', () => {
        throw new Error('oh');
      }),
      10,
    );
    wheel.schedule(timer('good'), 20);
    wheel.advance(100, (_timer, error) => failures.push(error));
    expect(called).to.deep.equal(['bad at 100', 'good at 100']);
    expect(failures.map(String)).to.deep.equal(['Error: oh']);
  });

  it('refuses a time that is none', () => {
    for (const atMs of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => wheel.schedule(timer('a'), atMs)).to.throw('Cannot set a timer');
    }
    expect(wheel.size).to.equal(0);
  });

  it('does not go back when the clock does', () => {
    wheel.advance(1_000, rethrow);
    wheel.schedule(timer('a'), 1_100);
    wheel.advance(500, rethrow);
    expect(called).to.deep.equal([]);
    wheel.advance(1_120, rethrow);
    expect(called).to.have.length(1);
  });

  describe('nextDueMs()', () => {
    it('is undefined without a timer, and the time of the only one', () => {
      expect(wheel.nextDueMs()).to.equal(undefined);
      const only = timer('a');
      wheel.schedule(only, 20_000);
      expect(wheel.nextDueMs()).to.equal(20_000);
      wheel.cancel(only);
      expect(wheel.nextDueMs()).to.equal(undefined);
    });

    it('is early at most once after the next timer was cancelled', () => {
      const soon = timer('soon');
      wheel.schedule(soon, 160);
      wheel.schedule(timer('later'), 50_000);
      wheel.cancel(soon);
      expect(wheel.nextDueMs()).to.be.at.most(50_000);
      wheel.advance(160, rethrow);
      expect(wheel.nextDueMs()).to.equal(50_000);
    });
  });

  it('agrees with a sorted list, whatever is set, moved, cancelled and passed', () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('schedule' as const),
        id: fc.nat(30),
        inMs: fc.oneof(fc.nat(200), fc.nat(3 * REVOLUTION_MS)),
      }),
      fc.record({ do: fc.constant('cancel' as const), id: fc.nat(30) }),
      fc.record({
        do: fc.constant('advance' as const),
        byMs: fc.oneof(fc.nat(40), fc.nat(2 * REVOLUTION_MS)),
      }),
    );
    fc.assert(
      fc.property(fc.nat(100_000), fc.array(step, { maxLength: 200 }), (startMs, steps) => {
        const tested = new TimerWheel(startMs);
        const fired: number[] = [];
        const timers = Array.from({ length: 31 }, (_, id) => ({ onTimer: () => fired.push(id) }));
        // When each timer is due, in whole slots; what the wheel must agree with.
        const due = new Map<number, number>();
        let nowMs = startMs;
        for (const action of steps) {
          if (action.do === 'schedule') {
            const atMs = nowMs + action.inMs;
            tested.schedule(timers[action.id]!, atMs);
            const nextTick = Math.floor(nowMs / SLOT_MS) + 1;
            due.set(action.id, Math.max(Math.ceil(atMs / SLOT_MS), nextTick) * SLOT_MS);
          } else if (action.do === 'cancel') {
            tested.cancel(timers[action.id]!);
            due.delete(action.id);
          } else {
            nowMs += action.byMs;
            fired.length = 0;
            tested.advance(nowMs, rethrow);
            const expected = [...due].filter(([, dueMs]) => dueMs <= nowMs);
            const firedAtMs = fired.map((id) => due.get(id));
            expect(new Set(fired)).to.deep.equal(new Set(expected.map(([id]) => id)));
            expect(firedAtMs).to.deep.equal(firedAtMs.toSorted((one, other) => one! - other!));
            for (const [id] of expected) due.delete(id);
          }
          expect(tested.size).to.equal(due.size);
          const nextMs = tested.nextDueMs();
          if (due.size === 0) expect(nextMs).to.equal(undefined);
          else expect(nextMs).to.be.at.most(Math.min(...due.values()));
        }
      }),
      { numRuns: 300 },
    );
  });
});
