import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { TimerWheel } from '#reactor/timers.ts';
import type { NetnsHandles } from '#ztunnel/inpod/netns-handles.ts';
import {
  ACK_DEADLINE_MS,
  BLOCKS_READINESS_MS,
  type Outcome,
  PODS_MAX,
  type PodHost,
  Pods,
  RETRY_MS,
  SLOW_RETRY_MS,
} from '#ztunnel/inpod/pods.ts';
import type { PodInfo, PodUid, ZdsRequest } from '#ztunnel/inpod/zds-protocol.ts';

const OK = { error: '', violation: false };
const uid = (text: string): PodUid => text as PodUid;
const info: PodInfo = { name: 'web', namespace: 'shop', serviceAccount: 'default' };

/** Descriptors that are numbers only: which namespace each stands for, and which are open. */
class FakeNetns implements NetnsHandles {
  readonly open = new Map<number, string>();
  readonly deserted = new Set<string>();
  #next = 100;

  fd(namespace: string): number {
    const fd = this.#next++;
    this.open.set(fd, namespace);
    return fd;
  }
  identify(fd: number): string | undefined {
    const namespace = this.open.get(fd);
    return namespace === 'a file' ? undefined : namespace;
  }
  duplicate(fd: number): number {
    return this.fd(this.open.get(fd)!);
  }
  close(fd: number): void {
    expect(this.open.delete(fd), `descriptor ${fd} is closed once`).to.equal(true);
  }
  isDeserted(fd: number): boolean {
    return this.deserted.has(this.open.get(fd)!);
  }
}

/** A host whose starts end when the test says so. It closes its descriptors as its contract says. */
class FakeHost implements PodHost {
  readonly calls: string[] = [];
  readonly #netns: FakeNetns;
  readonly #starting = new Map<PodUid, { fd: number; end: (error: string | undefined) => void }>();
  readonly #held = new Map<PodUid, number>();
  automatic: boolean = true;
  failure: string | undefined;

  constructor(netns: FakeNetns) {
    this.#netns = netns;
  }

  start(pod: PodUid, _info: PodInfo, fd: number): Promise<string | undefined> {
    this.calls.push(`start ${pod} in ${this.#netns.open.get(fd)}`);
    const started = new Promise<string | undefined>((resolve) => {
      this.#starting.set(pod, { fd, end: resolve });
    });
    if (this.automatic) this.end(pod, this.failure);
    return started;
  }

  end(pod: PodUid, error?: string): void {
    const { fd, end } = this.#starting.get(pod)!;
    this.#starting.delete(pod);
    if (error === undefined) this.#held.set(pod, fd);
    else this.#netns.close(fd);
    end(error);
  }

  stop(pod: PodUid): void {
    this.calls.push(`stop ${pod}`);
    if (this.#starting.has(pod)) return this.end(pod, 'stopped');
    const fd = this.#held.get(pod);
    if (fd !== undefined) this.#netns.close(fd);
    this.#held.delete(pod);
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Pods', () => {
  let netns: FakeNetns;
  let host: FakeHost;
  let loop: { timers: TimerWheel; nowMs: number; returns: number; returnToNode(): void };
  let logged: string[];
  let pods: Pods;

  beforeEach(() => {
    netns = new FakeNetns();
    host = new FakeHost(netns);
    loop = {
      timers: new TimerWheel(0),
      nowMs: 0,
      returns: 0,
      returnToNode() {
        this.returns++;
      },
    };
    logged = [];
    const log = (level: string, message: string): void => void logged.push(`${level}: ${message}`);
    pods = new Pods({ host, loop, log, netns });
  });

  const ask = (request: ZdsRequest, fd = -1): Promise<Outcome> =>
    new Promise((resolve) => pods.handle(request, fd, resolve));
  const add = (name: string, namespace = `ns of ${name}`): Promise<Outcome> =>
    ask({ kind: 'add', uid: uid(name), info }, netns.fd(namespace));
  const del = (name: string): Promise<Outcome> => ask({ kind: 'del', uid: uid(name) });
  const keep = (name: string): Promise<Outcome> => ask({ kind: 'keep', uid: uid(name) });
  const snapshot = (): Promise<Outcome> => ask({ kind: 'snapshot-sent' });

  async function pass(ms: number): Promise<void> {
    loop.nowMs += ms;
    loop.timers.advance(loop.nowMs, (_timer, error) => {
      throw error;
    });
    await settle();
  }

  describe('adding', () => {
    it('starts the pod and answers when its listeners are bound', async () => {
      host.automatic = false;
      pods.onConnected();
      let outcome: Outcome | undefined;
      const answered = add('a').then((given) => (outcome = given));
      await settle();
      expect(host.calls).to.deep.equal(['start a in ns of a']);
      expect(outcome).to.equal(undefined);
      host.end(uid('a'));
      await answered;
      expect(outcome).to.deep.equal(OK);
      expect(pods.runningCount).to.equal(1);
      expect(loop.returns, 'asks for promises to be settled').to.be.greaterThan(0);
    });

    it('holds one descriptor per running pod: the host has it', async () => {
      pods.onConnected();
      await add('a');
      expect([...netns.open.values()]).to.deep.equal(['ns of a']);
      await snapshot();
      await del('a');
      expect(netns.open.size).to.equal(0);
    });

    it('does nothing for a pod that runs in the same namespace already', async () => {
      pods.onConnected();
      await add('a');
      expect(await add('a')).to.deep.equal(OK);
      expect(host.calls).to.deep.equal(['start a in ns of a']);
      expect(netns.open.size).to.equal(1);
    });

    it('replaces a pod that has another namespace now', async () => {
      pods.onConnected();
      await add('a', 'old');
      expect(await add('a', 'new')).to.deep.equal(OK);
      expect(host.calls).to.deep.equal(['start a in old', 'stop a', 'start a in new']);
      expect([...netns.open.values()]).to.deep.equal(['new']);
    });

    it('does not start a pod twice at a time', async () => {
      host.automatic = false;
      pods.onConnected();
      const first = add('a');
      pods.onDisconnected();
      pods.onConnected();
      const second = add('a');
      await settle();
      host.end(uid('a'));
      expect(await Promise.all([first, second])).to.deep.equal([OK, OK]);
      expect(host.calls).to.deep.equal(['start a in ns of a']);
      expect(netns.open.size).to.equal(1);
    });

    it('waits with a replacement until the start before it has ended', async () => {
      host.automatic = false;
      pods.onConnected();
      const stopped = host.stop.bind(host);
      host.stop = (pod) => void host.calls.push(`stop ${pod}`);
      const first = add('a', 'old');
      await settle();
      const second = add('a', 'new');
      await settle();
      expect(host.calls).to.deep.equal(['start a in old', 'stop a']);
      expect((await first).error).to.include('removed while it was being started');
      host.stop = stopped;
      host.end(uid('a'), 'stopped');
      await settle();
      expect(host.calls.at(-1)).to.equal('start a in new');
      host.end(uid('a'));
      expect(await second).to.deep.equal(OK);
      expect([...netns.open.values()]).to.deep.equal(['new']);
    });

    it('refuses a pod in the namespace of another one, and names both', async () => {
      pods.onConnected();
      await add('a', 'shared');
      const outcome = await add('b', 'shared');
      const error = 'Cannot add pod "b": its network namespace is that of pod shop/web (a)';
      expect(outcome).to.deep.equal({ error, violation: false });
      expect(logged.at(-1)).to.equal(`warn: ${error}`);
      expect(host.calls).to.deep.equal(['start a in shared']);
      expect(netns.open.size).to.equal(1);
    });

    it('replaces a pod in the same namespace that the agent does not name any more', async () => {
      pods.onConnected();
      await add('a', 'shared');
      await snapshot();
      pods.onDisconnected();
      pods.onConnected();
      expect(await add('b', 'shared')).to.deep.equal(OK);
      expect(host.calls).to.deep.equal(['start a in shared', 'stop a', 'start b in shared']);
      expect([...netns.open.values()]).to.deep.equal(['shared']);
    });

    it('says which pods are served, and which no more', async () => {
      pods.onConnected();
      host.failure = 'bind: EADDRINUSE';
      await add('a');
      host.failure = undefined;
      await pass(RETRY_MS + 16);
      await snapshot();
      await del('a');
      expect(logged).to.deep.equal([
        'warn: Cannot start pod shop/web (a): bind: EADDRINUSE',
        'info: Pod shop/web (a) is served',
        'info: Pod shop/web (a) is served no more: the CNI agent has withdrawn it',
      ]);
    });

    it('refuses a descriptor that is no network namespace, and closes it', async () => {
      pods.onConnected();
      const outcome = await add('a', 'a file');
      expect(outcome.error).to.include('is no network namespace');
      expect(outcome.violation).to.equal(false);
      expect(netns.open.size).to.equal(0);
      expect(host.calls).to.deep.equal([]);
    });

    it(`refuses more than ${PODS_MAX} pods`, async () => {
      for (let index = 0; index < PODS_MAX; index++) pods.adopt(uid(`p${index}`), info, `${index}`);
      pods.onConnected();
      expect((await add('one more')).error).to.include(`there are ${PODS_MAX} pods already`);
      expect(netns.open.size).to.equal(0);
    });

    it('answers before the agent gives up, and lets the start go on', async () => {
      host.automatic = false;
      pods.onConnected();
      const answered = add('a');
      await settle();
      await pass(ACK_DEADLINE_MS + 16);
      expect((await answered).error).to.include(`not open after ${ACK_DEADLINE_MS} ms`);
      host.end(uid('a'));
      await settle();
      expect(pods.runningCount).to.equal(1);
      expect(await add('a')).to.deep.equal(OK);
      expect(loop.timers.size).to.equal(0);
    });

    it('answers with what a host throws', async () => {
      host.start = (_uid, _info, fd) => {
        netns.close(fd);
        throw new Error('worker is gone');
      };
      pods.onConnected();
      expect((await add('a')).error).to.include('worker is gone');
    });
  });

  describe('a pod that fails to start', () => {
    beforeEach(async () => {
      pods.onConnected();
      host.failure = 'port 15008 is taken';
      expect(await add('bad')).to.deep.equal({ error: 'port 15008 is taken', violation: false });
    });

    it('is tried again until it starts, and keeps its namespace for that', async () => {
      await pass(RETRY_MS - 100);
      expect(host.calls).to.have.length(1);
      await pass(200);
      expect(host.calls).to.have.length(2);
      host.failure = undefined;
      await pass(RETRY_MS + 16);
      expect(host.calls).to.have.length(3);
      expect(pods.runningCount).to.equal(1);
      expect(pods.pendingCount).to.equal(0);
      expect(netns.open.size).to.equal(1);
      expect(loop.timers.size).to.equal(0);
    });

    it('does not keep others from starting', async () => {
      host.failure = undefined;
      expect(await add('good')).to.deep.equal(OK);
      expect(pods.runningCount).to.equal(1);
    });

    it('does not delay the answer to the snapshot, but readiness', async () => {
      expect(await snapshot()).to.deep.equal(OK);
      expect(pods.notReadyBecause).to.equal(
        "pod shop/web (bad) can't be started: port 15008 is taken",
      );
    });

    it('stops to delay readiness after a while, and is then tried less often', async () => {
      await snapshot();
      await pass(BLOCKS_READINESS_MS);
      expect(pods.notReadyBecause).to.equal(undefined);
      expect(pods.pendingCount).to.equal(1);
      await pass(RETRY_MS + 16);
      const calls = host.calls.length;
      await pass(RETRY_MS + 16);
      expect(host.calls).to.have.length(calls);
      await pass(SLOW_RETRY_MS);
      expect(host.calls).to.have.length(calls + 1);
    });

    it('is forgotten when its pod has left the namespace', async () => {
      netns.deserted.add('ns of bad');
      await pass(BLOCKS_READINESS_MS + RETRY_MS);
      expect(pods.pendingCount).to.equal(0);
      expect(netns.open.size).to.equal(0);
      expect(loop.timers.size).to.equal(0);
    });

    it('is started at once when the agent adds it again', async () => {
      host.failure = undefined;
      expect(await add('bad')).to.deep.equal(OK);
      expect(pods.pendingCount).to.equal(0);
      expect(netns.open.size).to.equal(1);
      expect(loop.timers.size).to.equal(0);
    });

    it('is forgotten when it is deleted, before or after the snapshot', async () => {
      expect(await del('bad')).to.deep.equal(OK);
      expect(pods.pendingCount).to.equal(0);
      expect(netns.open.size).to.equal(0);
      expect(host.calls).to.deep.equal(['start bad in ns of bad']);
    });

    it('is forgotten when a new conversation begins', async () => {
      pods.onDisconnected();
      expect(pods.pendingCount).to.equal(1);
      pods.onConnected();
      expect(pods.pendingCount).to.equal(0);
      expect(netns.open.size).to.equal(0);
      expect(loop.timers.size).to.equal(0);
    });
  });

  describe('deleting', () => {
    it('stops a pod at once after the snapshot', async () => {
      pods.onConnected();
      await add('a');
      await snapshot();
      expect(await del('a')).to.deep.equal(OK);
      expect(host.calls.at(-1)).to.equal('stop a');
      expect(pods.runningCount).to.equal(0);
    });

    it('waits for the snapshot before it', async () => {
      pods.onConnected();
      await add('a');
      await del('a');
      expect(host.calls).to.deep.equal(['start a in ns of a']);
      await snapshot();
      expect(host.calls.at(-1)).to.equal('stop a');
    });

    it('lets a pod live that is added again before the snapshot', async () => {
      pods.onConnected();
      await add('a');
      await del('a');
      await add('a');
      await snapshot();
      expect(host.calls).to.deep.equal(['start a in ns of a']);
      expect(pods.runningCount).to.equal(1);
    });

    it('is harmless for an unknown pod', async () => {
      pods.onConnected();
      await snapshot();
      expect(await del('nobody')).to.deep.equal(OK);
      expect(host.calls).to.deep.equal([]);
    });

    it('stops a pod whose start has not ended', async () => {
      host.automatic = false;
      pods.onConnected();
      await snapshot();
      const added = add('a');
      await settle();
      await del('a');
      await added;
      await settle();
      expect(host.calls).to.deep.equal(['start a in ns of a', 'stop a']);
      expect(pods.runningCount + pods.pendingCount).to.equal(0);
      expect(netns.open.size).to.equal(0);
      expect(loop.timers.size).to.equal(0);
    });
  });

  describe('a new conversation', () => {
    it('keeps pods running while there is none', async () => {
      pods.onConnected();
      await add('a');
      await snapshot();
      pods.onDisconnected();
      expect(pods.runningCount).to.equal(1);
      expect(pods.notReadyBecause).to.equal('not connected to the CNI agent');
    });

    it('stops what its snapshot does not name, and leaves the rest untouched', async () => {
      pods.onConnected();
      for (const name of ['added', 'kept', 'gone']) await add(name);
      await snapshot();
      pods.onDisconnected();
      pods.onConnected();
      expect(pods.notReadyBecause).to.include('snapshot');
      host.calls.length = 0;
      await add('added');
      await keep('kept');
      await snapshot();
      expect(host.calls).to.deep.equal(['stop gone']);
      expect(pods.runningCount).to.equal(2);
      expect(pods.notReadyBecause).to.equal(undefined);
    });

    it('takes a kept pod that it does not know without effect', async () => {
      pods.onConnected();
      expect(await keep('nobody')).to.deep.equal(OK);
      await snapshot();
      expect(host.calls).to.deep.equal([]);
      expect(pods.notReadyBecause).to.equal(undefined);
    });

    it('is broken by a second snapshot, or a kept pod after it', async () => {
      pods.onConnected();
      await snapshot();
      expect((await snapshot()).violation).to.equal(true);
      expect((await keep('a')).violation).to.equal(true);
    });
  });

  describe('adopt()', () => {
    it('counts the pod as running, and as known when the agent names its namespace', async () => {
      pods.adopt(uid('a'), info, 'ns of a');
      expect(pods.runningCount).to.equal(1);
      pods.onConnected();
      expect(await add('a')).to.deep.equal(OK);
      await snapshot();
      expect(host.calls).to.deep.equal([]);
    });

    it('stops the pod when the snapshot does not name it', async () => {
      pods.adopt(uid('a'), info, 'ns of a');
      pods.onConnected();
      await snapshot();
      expect(host.calls).to.deep.equal(['stop a']);
    });

    it('replaces the pod when the agent names another namespace', async () => {
      pods.adopt(uid('a'), info, 'before');
      pods.onConnected();
      await add('a', 'after');
      expect(host.calls).to.deep.equal(['stop a', 'start a in after']);
    });
  });
});
