import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { Succession } from '#ztunnel/succession.ts';
import { TrafficTotals } from '#ztunnel/traffic-totals.ts';
import type { Collected, WorkerState } from '#ztunnel/worker/protocol.ts';

const WORKERS = 2;

function collected(connections: number): Collected {
  const socketsOpen = { source: connections, destination: 0 };
  const counts = new TrafficMetrics().takeChanges();
  return { counts, socketsOpen, connections, tunnelsSending: 0, faults: 0 };
}

describe('Succession', () => {
  let calls: string[];
  let lines: readonly string[];
  let totals: TrafficTotals;
  let succession: Succession;
  /** What a worker tells; throws when it can't. */
  let told: (index: number) => WorkerState;
  let priorities: (nice: number) => boolean;

  beforeEach(() => {
    calls = [];
    told = (index) => ({ pods: [], collected: collected(index + 1), leftBehind: 0 });
    priorities = () => false;
    totals = new TrafficTotals({ count: 0, ask: () => Promise.reject(new Error('not asked')) });
    const logged = logLines();
    ({ lines } = logged);
    const call = (name: string) => (): void => void calls.push(name);
    succession = new Succession({
      path: undefined,
      staysAfterwards: false,
      log: logged.log,
      workers: {
        count: WORKERS,
        broadcast: ({ kind }) => calls.push(kind),
        ask: (async (index: number) => told(index)) as never,
        askAll: () => Promise.reject(new Error('not asked')),
      },
      host: { deal: () => [] },
      totals,
      certificates: { materials: () => [], seed: () => undefined },
      process: {
        stopping: false,
        ports: [],
        openOwn: async () => undefined,
        letGo: call('let go'),
        takeBack: call('take back'),
        adopted: call('adopted'),
        retire: call('retire'),
        end: async () => void calls.push('end'),
        shutDown: (why) => calls.push(`shut down: ${why}`),
      },
      setPriorities: (nice) => priorities(nice),
    });
  });

  it('freeze() tells what all workers have, and how many handshakes stay', async () => {
    told = (index) => ({ pods: [], collected: collected(10 ** index), leftBehind: index });
    const { state, descriptors } = await succession.freeze();
    expect(state).to.have.property('pods').that.deep.equals([]);
    expect(descriptors).to.deep.equal([]);
    expect(totals.connections).to.equal(11);
    expect(lines.join()).to.match(/connections in a handshake can not be moved.*count=1/);
    succession.thaw('the test is over');
  });

  it('freeze() goes on as before when a worker can not tell, and counts what the others have told as theirs', async () => {
    totals.add(0, collected(100));
    totals.add(1, collected(50));
    told = (index) => {
      if (index === 0) throw new Error('it has died');
      return { pods: [], collected: collected(7), leftBehind: 0 };
    };
    const problem = 'a data worker could not tell its state';
    expect(await succession.freeze().catch(String)).to.equal(`Error: ${problem}`);
    expect(totals.connections).to.equal(107);
    expect(calls).to.deep.equal(['thaw', 'take back']);
    expect(lines.at(-1)).to.include('the hand-over broke off').and.include(problem);
  });

  it('gives its priority back after a hand-over, however often that fails at first', async () => {
    const given: number[] = [];
    const calm = Promise.withResolvers<void>();
    priorities = (nice) => {
      given.push(nice);
      if (given.length === 4) calm.resolve();
      return nice < 0 || given.length === 4;
    };
    await succession.freeze();
    succession.thaw('the successor is gone');
    await calm.promise;
    expect(given).to.deep.equal([-15, 0, 0, 0]);
  });

  it('defersEnd() puts a signal off while connections have no owner, and then it is obeyed', async () => {
    expect(succession.defersEnd('too early')).to.equal(false);
    await succession.freeze();
    expect(succession.defersEnd('SIGTERM')).to.equal(true);
    expect(succession.defersEnd('another')).to.equal(true);
    succession.thaw('the successor is gone');
    // Ports that it would let go of at once are not taken back.
    expect(calls).to.deep.equal(['thaw', 'shut down: SIGTERM']);
    expect(succession.defersEnd('SIGTERM')).to.equal(false);
  });
});
