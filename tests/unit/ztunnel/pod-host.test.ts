import { fstatSync, openSync } from 'node:fs';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import { ManualClock } from '#tests/support/manual-clock.ts';
import type { PodInfo, PodUid } from '#ztunnel/inpod/zds-protocol.ts';
import { type PodWorkers, WorkerPodHost } from '#ztunnel/pod-host.ts';
import type { Question } from '#ztunnel/worker/protocol.ts';
import { WorkerDied } from '#ztunnel/worker/workers.ts';

const UID = 'uid-1' as PodUid;
const INFO: PodInfo = { name: 'shop', namespace: 'default', serviceAccount: 'shop' };

/** One worker that answers when the test says so. */
class SlowWorker {
  readonly count = 1;
  readonly asked: (Question & { answer(value?: string): void; fail(error: Error): void })[] = [];

  ask(_index: number, question: Question): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.asked.push({ ...question, answer: resolve, fail: reject });
    return promise;
  }
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('WorkerPodHost', () => {
  let worker: SlowWorker;
  let host: WorkerPodHost;
  let reports: string[];
  let fd: number;

  beforeEach(() => {
    worker = new SlowWorker();
    reports = [];
    const facts = { node: 'near', clusterId: 'Kubernetes' };
    host = new WorkerPodHost(worker as unknown as PodWorkers, facts, (problem) => {
      reports.push(problem);
    });
    fd = openSync('/dev/null', 'r');
  });

  it('stop() keeps the descriptor of a pod that is being started until its end is answered', async () => {
    const started = host.start(UID, INFO, fd);
    host.stop(UID);
    expect(worker.asked.map(({ kind }) => kind)).to.deep.equal(['start-pod', 'stop-pod']);
    worker.asked[0]?.answer('');
    expect(await started).to.be.a('string');
    expect(isOpen(fd)).to.equal(true);
    worker.asked[1]?.answer();
    await settled();
    expect(isOpen(fd)).to.equal(false);
    expect([...host.pods()]).to.deep.equal([]);
  });

  it('start() closes the descriptor when the worker has answered that it can not serve', async () => {
    const started = host.start(UID, INFO, fd);
    worker.asked[0]?.answer('cannot listen');
    expect(await started).to.equal('cannot listen');
    expect(isOpen(fd)).to.equal(false);
  });

  it('stop() closes the descriptor when the worker has died, and not after a fault of it', async () => {
    for (const [error, open] of [
      [new WorkerDied('died'), false],
      [new Error('fault'), true],
    ] as const) {
      fd = openSync('/dev/null', 'r');
      const started = host.start(UID, INFO, fd);
      worker.asked.pop()?.answer('');
      await started;
      host.stop(UID);
      worker.asked.pop()?.fail(error);
      await settled();
      expect(isOpen(fd), error.message).to.equal(open);
    }
    expect(reports).to.deep.equal([`cannot stop pod ${UID}: fault`]);
  });

  it('restart() starts what was up, and not what is being started', async () => {
    const first = host.start(UID, INFO, fd);
    worker.asked.pop()?.answer('');
    await first;
    const second = host.start('uid-2' as PodUid, INFO, openSync('/dev/null', 'r'));
    const starting = worker.asked.pop();
    const restarted = host.restart(0);
    const [again, ...others] = worker.asked;
    expect(again).to.include({ kind: 'start-pod', uid: UID, netnsFd: fd });
    again?.answer('');
    starting?.answer('');
    await Promise.all([restarted, second]);
    expect(others).to.deep.equal([]);
    expect(worker.asked).to.have.length(1);
  });

  describe('restart(), when a pod can not be served again', () => {
    let clock: ManualClock;
    let restarted: Promise<void>;
    let isDone: boolean;

    beforeEach(async () => {
      clock = new ManualClock();
      host = new WorkerPodHost(
        worker as unknown as PodWorkers,
        { node: 'near', clusterId: 'Kubernetes' },
        (problem) => reports.push(problem),
        clock,
      );
      const started = host.start(UID, INFO, fd);
      worker.asked.pop()?.answer('');
      await started;
      isDone = false;
      restarted = host.restart(0).then(() => {
        isDone = true;
        return undefined;
      });
      worker.asked.pop()?.answer('the port is taken');
      await settled();
    });

    it('says which, why, and what that means', () => {
      expect(reports).to.deep.equal([
        'cannot serve pod default/shop (uid-1) again: the port is taken; not ready until it can, or the pod goes',
      ]);
      expect(isDone).to.equal(false);
    });

    it('tries again, later each time, until it can', async () => {
      for (const [atLeastMs, atMostMs] of [
        [400, 600],
        [800, 1_200],
        [1_600, 2_400],
      ] as const) {
        await clock.advance(atLeastMs - 1);
        expect(worker.asked).to.have.length(0);
        await clock.advance(atMostMs - atLeastMs + 1);
        expect(worker.asked).to.have.length(1);
        const isLast = atMostMs === 2_400;
        worker.asked.pop()?.answer(isLast ? '' : 'the port is taken');
        await settled();
      }
      await restarted;
      expect(clock.pending).to.equal(0);
    });

    it('has done what it can as soon as the pod is removed', async () => {
      host.stop(UID);
      await restarted;
      expect(clock.pending).to.equal(0);
    });

    it('leaves the pod to the next replacement of the worker', async () => {
      const next = host.restart(0);
      expect(worker.asked).to.have.length(1);
      worker.asked.pop()?.answer('');
      await next;
      await clock.advance(600);
      await restarted;
      expect(worker.asked).to.have.length(0);
    });
  });
});
