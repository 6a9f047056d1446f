import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { close, EAGAIN } from '#linux/libc.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import {
  type EventHandler,
  HUNG_UP,
  type Loop,
  PEER_FINISHED,
  READABLE,
  WRITABLE,
} from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { receiveInto, sendFrom, shutdownWrite } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { QUICKEST_OF, quickestMs } from '#tests/support/quickest.ts';

const slab = allocateSlab(1_024);

/** A handler whose events a test looks at. Reads what there is, unless told what else to do. */
class Recorder implements EventHandler {
  readonly fd: number;
  readonly events: number[] = [];
  readonly #then: ((events: number) => void) | undefined;

  constructor(fd: number, then?: (events: number) => void) {
    this.fd = fd;
    this.#then = then;
  }

  onEvents(events: number): void {
    this.events.push(events);
    if (this.#then === undefined) receiveInto(this.fd, slab, 0, slab.size);
    else this.#then(events);
  }
}

const say = (fd: number): number => sendFrom(fd, slab, 0, 1);

function bad(): never {
  throw new Error('a bug');
}

async function ask(worker: Worker, message: string): Promise<{ message: string; turns: number }> {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
  worker.postMessage(message);
  const [answer] = (await once(worker, 'message')) as [{ message: string; turns: number }];
  return answer;
}

describe('Loop', () => {
  let loop: Loop;
  let open: number[];
  let before: ReadonlyMap<number, string>;

  beforeEach(async () => {
    before = openDescriptors();
    open = [];
    loop = await openThreadLoop();
  });

  afterEach(() => {
    loop.stop();
    for (const fd of open) close(fd);
    const leaked = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
    expect(leaked, 'descriptors left open').to.deep.equal([]);
  });

  function pair(): readonly [number, number] {
    const made = openSocketPair();
    open.push(...made);
    return made;
  }

  function shut(fd: number): void {
    close(fd);
    open.splice(open.indexOf(fd), 1);
  }

  function startWorker(): [Worker, number] {
    const [one, other] = pair();
    const url = new URL('./support/loop-worker.ts', import.meta.url);
    return [new Worker(url, { workerData: { fd: other } }), one];
  }

  /** Resolves when `fd` has got an event, in Node's own loop. */
  function eventOf(fd: number): Promise<number> {
    return new Promise((resolve) => {
      const recorder = new Recorder(fd, (events) => {
        loop.remove(recorder);
        loop.returnToNode();
        resolve(events);
      });
      loop.add(recorder, READABLE);
    });
  }

  describe('events', () => {
    it('come to the handler of the descriptor, with what has happened', async () => {
      loop.start();
      const [one, other] = pair();
      say(other);
      expect(await eventOf(one)).to.equal(READABLE);
      receiveInto(one, slab, 0, 1);
      shut(other);
      expect((await eventOf(one)) & (READABLE | HUNG_UP)).to.equal(READABLE | HUNG_UP);
    });

    it('are level-triggered: come again until the bytes are read', async () => {
      loop.start();
      const [one, other] = pair();
      say(other);
      expect(await eventOf(one)).to.equal(READABLE);
      expect(await eventOf(one)).to.equal(READABLE);
    });

    it('follow the interest', async () => {
      loop.start();
      const [one, other] = pair();
      const handler = new Recorder(one, () => loop.setInterest(handler, 0));
      loop.add(handler, WRITABLE);
      await delay(30);
      expect(handler.events).to.deep.equal([WRITABLE]);
      say(other);
      shutdownWrite(other);
      await delay(30);
      expect(handler.events, 'nothing without interest').to.have.length(1);
      loop.setInterest(handler, READABLE | PEER_FINISHED);
      await delay(30);
      expect(handler.events.slice(1)).to.deep.equal([READABLE | PEER_FINISHED]);
      loop.remove(handler);
      expect(loop.has(handler)).to.equal(false);
    });

    it('of a turn are not given to a new user of a descriptor that was closed in it', async () => {
      const [first, firstPeer] = pair();
      const [second, secondPeer] = pair();
      const reused: Recorder[] = [];
      // Whichever comes first closes the other, and its number is taken at once.
      const closing = (mine: () => Recorder, other: () => Recorder) => () => {
        if (reused.length > 0) return;
        const victim = other();
        loop.remove(victim);
        loop.remove(mine());
        shut(victim.fd);
        const [next] = pair();
        expect(next).to.equal(victim.fd);
        const newcomer = new Recorder(next);
        reused.push(newcomer);
        loop.add(newcomer, READABLE);
      };
      const one: Recorder = new Recorder(
        first,
        closing(
          () => one,
          () => two,
        ),
      );
      const two: Recorder = new Recorder(
        second,
        closing(
          () => two,
          () => one,
        ),
      );
      loop.add(one, READABLE);
      loop.add(two, READABLE);
      say(firstPeer);
      say(secondPeer);
      loop.start();
      await delay(30);
      expect(one.events.length + two.events.length).to.equal(1);
      expect(reused).to.have.length(1);
      expect(reused[0]!.events).to.deep.equal([]);
    });

    it('do not come to a handler that another has removed in the same turn', async () => {
      const [first, firstPeer] = pair();
      const [second, secondPeer] = pair();
      const one: Recorder = new Recorder(first, () => {
        loop.remove(one);
        loop.remove(two);
      });
      const two: Recorder = new Recorder(second, () => {
        loop.remove(one);
        loop.remove(two);
      });
      loop.add(one, READABLE);
      loop.add(two, READABLE);
      say(firstPeer);
      say(secondPeer);
      loop.start();
      await delay(30);
      expect(one.events.length + two.events.length).to.equal(1);
    });

    it('are refused for a descriptor that is in the loop already', () => {
      const [one] = pair();
      loop.add(new Recorder(one), READABLE);
      expect(() => loop.add(new Recorder(one), READABLE)).to.throw(
        `Descriptor ${one} is in the loop`,
      );
    });

    it('leave no trace of a descriptor that can not be watched', () => {
      expect(() => loop.add(new Recorder(9_999), READABLE)).to.throw('EBADF');
      expect(loop.has(new Recorder(9_999))).to.equal(false);
      expect(() => loop.add(new Recorder(9_999), READABLE)).to.throw('EBADF');
    });
  });

  describe('a handler that throws', () => {
    it('is told, once per throw, and the others are served', async () => {
      const [one, onePeer] = pair();
      const [two, twoPeer] = pair();
      const faults: unknown[] = [];
      const reported: unknown[] = [];
      loop.onFault = (error) => reported.push(error);
      const throwing: EventHandler = {
        fd: one,
        onEvents: bad,
        onFault(error) {
          faults.push(error);
          loop.remove(throwing);
        },
      };
      const good = new Recorder(two);
      loop.add(throwing, READABLE);
      loop.add(good, READABLE);
      say(onePeer);
      say(twoPeer);
      loop.start();
      await delay(30);
      expect(faults.map(String)).to.deep.equal(['Error: a bug']);
      expect(reported).to.deep.equal(faults);
      expect(good.events).to.deep.equal([READABLE]);
      expect(loop.faults).to.equal(1);
    });

    it('is removed when it has no onFault(), or when that throws too', async () => {
      const [one, onePeer] = pair();
      const [two, twoPeer] = pair();
      const silent: EventHandler = { fd: one, onEvents: bad };
      const twice: EventHandler = { fd: two, onEvents: bad, onFault: bad };
      loop.add(silent, READABLE);
      loop.add(twice, READABLE);
      say(onePeer);
      say(twoPeer);
      loop.start();
      await delay(30);
      expect([loop.has(silent), loop.has(twice)]).to.deep.equal([false, false]);
      expect(loop.faults).to.equal(3);
    });
  });

  describe('timers', () => {
    it('are called when they are due, with nothing else going on', async () => {
      loop.start();
      const takenMs = await quickestMs(
        () =>
          new Promise<number>((resolve) => {
            const onTimer = (nowMs: number): void => {
              resolve(nowMs);
              loop.returnToNode();
            };
            loop.timers.schedule({ onTimer }, performance.now() + 50);
          }),
      );
      expect(takenMs).to.be.within(50, 500);
    });

    it('that throw are counted and told, once per throw, and the others are called', async () => {
      const told: string[] = [];
      const { promise: called, resolve } = Promise.withResolvers<void>();
      const onTimer = (): void => {
        resolve();
        loop.returnToNode();
      };
      const onFault = (error: unknown): void => void told.push(String(error));
      loop.start();
      loop.timers.schedule({ onTimer: bad, onFault }, performance.now());
      loop.timers.schedule({ onTimer: bad, onFault: bad }, performance.now());
      loop.timers.schedule({ onTimer: bad }, performance.now());
      loop.timers.schedule({ onTimer }, performance.now() + 20);
      await called;
      expect(told).to.deep.equal(['Error: a bug']);
      expect(loop.faults).to.equal(4);
    });
  });

  describe('the end of a turn', () => {
    it('does a task once, however often it was asked for', async () => {
      const [one, other] = pair();
      let done = 0;
      const task = { onTurnEnd: () => done++ };
      const handler = new Recorder(one, () => {
        receiveInto(one, slab, 0, slab.size);
        loop.atTurnEnd(task);
        loop.atTurnEnd(task);
      });
      loop.add(handler, READABLE);
      loop.start();
      say(other);
      await delay(30);
      expect(done).to.equal(1);
      say(other);
      await delay(30);
      expect(done).to.equal(2);
    });

    it('does what a task asks for in the same turn', async () => {
      const order: string[] = [];
      const second = { onTurnEnd: () => order.push(`second in turn ${loop.turns}`) };
      const first = {
        onTurnEnd: () => {
          order.push(`first in turn ${loop.turns}`);
          loop.atTurnEnd(second);
        },
      };
      loop.atTurnEnd(first);
      loop.start();
      await delay(20);
      expect(order).to.deep.equal(['first in turn 0', 'second in turn 0']);
    });

    it('does not keep a task that asks for itself from giving way to others', async () => {
      const [one, other] = pair();
      let done = 0;
      let forever = true;
      const task = {
        onTurnEnd: () => {
          done++;
          if (forever) loop.atTurnEnd(task);
        },
      };
      loop.atTurnEnd(task);
      loop.start();
      say(other);
      expect(await eventOf(one)).to.equal(READABLE);
      forever = false;
      expect(done).to.be.greaterThan(1);
    });

    it('does the other tasks when one throws', async () => {
      let done = 0;
      loop.atTurnEnd({ onTurnEnd: bad });
      loop.atTurnEnd({ onTurnEnd: () => done++ });
      loop.start();
      await delay(20);
      expect([done, loop.faults]).to.deep.equal([1, 1]);
    });

    it('tells a task that throws, which may ask for the end of the next turn', async () => {
      const told: string[] = [];
      const task = {
        onTurnEnd: bad,
        onFault: (error: unknown) => {
          told.push(String(error));
          if (told.length < 2) loop.atTurnEnd(task);
        },
      };
      loop.atTurnEnd(task);
      loop.start();
      while (told.length < 2) await delay(5);
      expect(told).to.deep.equal(['Error: a bug', 'Error: a bug']);
      expect(loop.faults).to.equal(2);
    });
  });

  describe("Node's own loop", () => {
    it('runs promises that a handler settles at once after returnToNode()', async () => {
      loop.start();
      const [one, other] = pair();
      const takenMs = await quickestMs(async () => {
        say(other);
        await eventOf(one);
        await Promise.resolve();
      });
      expect(takenMs).to.be.below(200);
    });

    it('does not wait when it is asked for between two turns', async () => {
      loop.start();
      const takenMs = await quickestMs(
        () =>
          new Promise<void>((resolve) => {
            // Runs at the start of the next turn, before the loop waits.
            loop.atTurnEnd({
              onTurnEnd: () => {
                resolve();
                loop.returnToNode();
              },
            });
          }),
      );
      expect(takenMs).to.be.below(200);
    });

    it('has its timers, immediates, files and sockets served', async () => {
      loop.start();
      const takenMs = await quickestMs(async () => {
        await delay(20);
        await new Promise((resolve) => setImmediate(resolve));
        await stat('/proc/self/status');
        const server = createServer((socket) => socket.end('hello'));
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const client = connect((server.address() as { port: number }).port, '127.0.0.1');
        const [chunk] = (await once(client, 'data')) as [Buffer];
        expect(chunk.toString()).to.equal('hello');
        client.destroy();
        server.close();
        await once(server, 'close');
      });
      expect(takenMs).to.be.below(900);
    });

    it('is not starved by descriptors that are always ready', async () => {
      loop.start();
      const [one] = pair();
      const busy = new Recorder(one, () => undefined);
      loop.add(busy, WRITABLE);
      expect(await quickestMs(() => delay(20))).to.be.below(200);
      expect(busy.events.length).to.be.greaterThan(10);
      loop.remove(busy);
    });

    it('is left alone while nothing happens: the loop does not spin', async () => {
      loop.start();
      const [one, other] = pair();
      const idle = new Recorder(one);
      loop.add(idle, READABLE);
      await delay(20);
      expect(await fewestTurns(() => loop.turns)).to.be.below(8);
      shutdownWrite(other);
      await delay(20);
      loop.setInterest(idle, 0);
      expect(await fewestTurns(() => loop.turns), 'after a FIN, without interest').to.be.below(8);
    });
  });

  describe('stop()', () => {
    it('from a handler is the last thing that happens', async () => {
      const handlers = Array.from({ length: 3 }, () => {
        const [one, other] = pair();
        say(other);
        return new Recorder(one, () => loop.stop());
      });
      for (const handler of handlers) loop.add(handler, READABLE);
      let ended = 0;
      loop.atTurnEnd({ onTurnEnd: () => ended++ });
      loop.start();
      await delay(30);
      expect(handlers.flatMap(({ events }) => events)).to.have.length(1);
      expect(ended, 'only before the turn').to.equal(1);
      for (const handler of handlers) loop.remove(handler);
      expect(() => loop.add(new Recorder(handlers[0]!.fd), READABLE)).to.throw('stopped');
    });
  });

  describe('in a worker', () => {
    it('serves descriptors and messages, and does not spin', async () => {
      loop.start();
      const [worker, one] = startWorker();
      expect((await ask(worker, 'first')).message).to.equal('first');
      slab.bytes.write('!', 0);
      say(one);
      await eventOf(one);
      expect(receiveInto(one, slab, 10, 10)).to.equal(1);
      expect(slab.bytes[10]).to.equal('!'.charCodeAt(0));
      expect(await fewestTurns(async () => (await ask(worker, 'turns')).turns)).to.be.below(10);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
      worker.postMessage('exit');
      await once(worker, 'exit');
    });

    for (const end of ['exit', 'throw']) {
      it(`leaves what it has not opened itself when the worker ends by ${end}`, async () => {
        const [worker, one] = startWorker();
        await ask(worker, 'ready');
        const exited = new Promise((resolve) => worker.once('exit', resolve));
        const thrown = end === 'throw' ? once(worker, 'error') : undefined;
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
        worker.postMessage(end);
        await thrown;
        await exited;
        expect(receiveInto(one, slab, 0, 10), 'the other end is open').to.equal(-EAGAIN);
      });
    }

    it('ends when the worker is terminated', async () => {
      const workers = Array.from({ length: QUICKEST_OF }, () => startWorker()[0]);
      for (const worker of workers) await ask(worker, 'ready');
      // Not only when its loop has waited for as long as it does without events.
      expect(await quickestMs(() => workers.pop()?.terminate())).to.be.below(900);
      // Nothing runs on the thread any more that could close what it had open.
      loop.stop();
      for (const [fd, target] of openDescriptors()) {
        if (before.get(fd) !== target && !open.includes(fd)) close(fd);
      }
    });
  });
});

/**
 * Turns in 100 ms, the fewest of five times: Node's own tasks, such as those of its garbage collector, wake the
 * loop too, but not all the time.
 */
async function fewestTurns(turns: () => number | Promise<number>): Promise<number> {
  let fewest = Infinity;
  for (let window = 0; window < 5; window++) {
    const before = await turns();
    await delay(100);
    fewest = Math.min(fewest, (await turns()) - before);
  }
  return fewest;
}
