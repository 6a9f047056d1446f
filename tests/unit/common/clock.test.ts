import { expect } from 'chai';
import { describe, it } from 'mocha';

import { systemClock } from '#common/clock.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

describe('systemClock', () => {
  it('tells the time of the machine', () => {
    expect(systemClock.now()).to.be.closeTo(Date.now(), 1000);
  });

  it('setTimer() runs once, not at once', async () => {
    let runs = 0;
    await new Promise<void>((resolve) => {
      systemClock.setTimer(1, () => {
        runs++;
        resolve();
      });
      expect(runs).to.equal(0);
      // The timer does not keep the process alive; this one does.
      setTimeout(resolve, 2000).unref();
      setImmediate(function wait() {
        if (runs === 0) setImmediate(wait);
      });
    });
    expect(runs).to.equal(1);
  });

  it('setTimer() does not run when it was disposed', async () => {
    let cancelledRan = false;
    const cancelled = systemClock.setTimer(0, () => {
      cancelledRan = true;
    });
    cancelled[Symbol.dispose]();
    cancelled[Symbol.dispose]();
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
    expect(cancelledRan).to.equal(false);
  });

  it('setTimer() does not fire at once for a delay beyond 24.8 days', async () => {
    let ran = false;
    const timer = systemClock.setTimer(2 ** 31 + 1000, () => {
      ran = true;
    });
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
    timer[Symbol.dispose]();
    expect(ran).to.equal(false);
  });
});

describe('ManualClock', () => {
  it('runs timers at their time and in order, also those set on the way', async () => {
    const clock = new ManualClock(0);
    const seen: string[] = [];
    const note = (what: string) => () => seen.push(`${clock.now()} ${what}`);
    clock.setTimer(20, note('second'));
    clock.setTimer(10, () => {
      note('first')();
      clock.setTimer(5, note('between'));
    });
    clock.setTimer(1000, note('never'));
    await clock.advance(30);
    expect(seen).to.deep.equal(['10 first', '15 between', '20 second']);
    expect(clock.now()).to.equal(30);
    expect(clock.pending).to.equal(1);
    expect(clock.nextDueMs).to.equal(1000);
  });
});
