import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { WorkQueue } from '#common/work-queue.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

describe('WorkQueue', () => {
  let clock: ManualClock;
  let running: Map<string, PromiseWithResolvers<void>>;
  let log: string[];
  let queue: WorkQueue;

  const make = (parallel?: number): WorkQueue =>
    new WorkQueue({
      clock,
      work: (key) => {
        log.push(key);
        const job = Promise.withResolvers<void>();
        running.set(key, job);
        return job.promise;
      },
      backoff: { firstMs: 10, maxMs: 40, spread: 0 },
      onFailure: (key, error, failures, retryMs) =>
        log.push(`${key} ${String(error)} ${failures} ${retryMs}`),
      ...(parallel === undefined ? {} : { parallel }),
    });

  const settle = async (key: string, error?: string): Promise<void> => {
    const job = running.get(key);
    running.delete(key);
    if (error === undefined) job?.resolve();
    else job?.reject(error);
    await clock.advance(0);
  };

  beforeEach(() => {
    clock = new ManualClock();
    running = new Map();
    log = [];
    queue = make();
  });

  it('works on one key at a time, in order', async () => {
    for (const key of ['a', 'b', 'c']) queue.add(key);
    expect(log).to.deep.equal(['a']);
    await settle('a');
    await settle('b');
    await settle('c');
    expect(log).to.deep.equal(['a', 'b', 'c']);
    expect(queue.size).to.equal(0);
  });

  it('works on several at a time when it may, and never on one key twice', () => {
    queue = make(2);
    for (const key of ['a', 'a', 'b', 'c']) queue.add(key);
    expect(log).to.deep.equal(['a', 'b']);
  });

  it('works once on a key that is added often while it waits', async () => {
    for (const key of ['a', 'b', 'b', 'b']) queue.add(key);
    await settle('a');
    await settle('b');
    expect(log).to.deep.equal(['a', 'b']);
  });

  it('works once more on a key that is added while it runs, behind the others', async () => {
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    await settle('a');
    await settle('b');
    await settle('a');
    expect(log).to.deep.equal(['a', 'b', 'a']);
    expect(queue.size).to.equal(0);
  });

  it('tries again after a time that grows, and starts anew after a success', async () => {
    queue.add('a');
    await settle('a', 'no');
    expect(log).to.deep.equal(['a', 'a no 1 10']);
    await clock.advance(10);
    await settle('a', 'no');
    await clock.advance(19);
    expect(log.slice(2)).to.deep.equal(['a', 'a no 2 20']);
    await clock.advance(1);
    await settle('a');
    queue.add('a');
    await settle('a', 'no');
    expect(log.at(-1)).to.equal('a no 1 10');
  });

  it('does not let a key that sleeps hold up others', async () => {
    queue.add('a');
    await settle('a', 'no');
    queue.add('b');
    expect(log.at(-1)).to.equal('b');
  });

  it('wakes a key that sleeps when it is added, once', async () => {
    queue.add('a');
    await settle('a', 'no');
    queue.add('a');
    expect(log.at(-1)).to.equal('a');
    await clock.advance(100);
    expect(log).to.have.length(3);
  });

  it('tries at once when what failed was added meanwhile', async () => {
    queue.add('a');
    queue.add('a');
    await settle('a', 'no');
    expect(log).to.deep.equal(['a', 'a no 1 10', 'a']);
    await settle('a');
    await clock.advance(100);
    expect(log).to.have.length(3);
  });

  it('addAfter() waits, or leaves to what is there already', async () => {
    queue.addAfter('a', 50);
    await clock.advance(49);
    expect(log).to.deep.equal([]);
    queue.add('a');
    queue.addAfter('a', 50);
    await settle('a');
    await clock.advance(100);
    expect(log).to.deep.equal(['a']);
  });

  it('starts nothing more after stop()', async () => {
    for (const key of ['a', 'b']) queue.add(key);
    queue.addAfter('c', 5);
    queue.stop();
    await settle('a', 'no');
    queue.add('d');
    await clock.advance(100);
    expect(log).to.deep.equal(['a', 'a no 1 10']);
    expect(clock.pending).to.equal(0);
  });
});
