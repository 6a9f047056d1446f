import { invariant, unreachable } from '#common/assert.ts';
import { errnoName } from '#linux/libc.ts';
import type { Timer, TimerWheel } from '#reactor/timers.ts';

import { type NetnsHandles, netnsHandles } from './netns-handles.ts';
import type { PodInfo, PodUid, ZdsRequest } from './zds-protocol.ts';

/** Runs the proxies of pods, on whatever thread. */
export interface PodHost {
  /**
   * Opens the listeners of a pod. Resolves when they are bound, or with what went wrong. `netnsFd` is the
   * host's from now on: it closes it when the pod is stopped or could not be started. Not called for a uid
   * before its previous start has settled.
   */
  start(uid: PodUid, info: PodInfo, netnsFd: number): Promise<string | undefined>;
  /** Ends a pod that runs or is being started: its listeners, and its connections at once. */
  stop(uid: PodUid): void;
}

/** What of a thread's `Loop` is needed here. */
export interface PodsLoop {
  readonly timers: TimerWheel;
  readonly nowMs: number;
  returnToNode(): void;
}

export type PodsLog = (level: 'info' | 'warn', message: string) => void;

export interface PodsOptions {
  readonly host: PodHost;
  readonly loop: PodsLoop;
  readonly log: PodsLog;
  readonly netns?: NetnsHandles;
}

/** The ack to a request; with `violation` the conversation can't go on. */
export interface Outcome {
  readonly error: string;
  readonly violation: boolean;
}

/** As the readiness endpoint names this part. */
export const READINESS_TASK = 'workload proxy manager';

/** Pods on one node; Kubernetes recommends 110 and large nodes run 500. */
export const PODS_MAX = 4_096;
/** The agent gives up after 5 s and would take a later ack for the next answer. */
export const ACK_DEADLINE_MS = 4_000;
/** Between attempts to start a pod that failed. */
export const RETRY_MS = 5_000;
/** How long a failing pod keeps the node from being ready: one bad pod is no reason to stop a roll-out. */
export const BLOCKS_READINESS_MS = 60_000;
/** Between attempts after that. */
export const SLOW_RETRY_MS = 60_000;

const OK: Outcome = { error: '', violation: false };

/**
 * starting ──started──▶ running ──┐
 *   ▲  └──failed──▶ pending       ├──deleted, replaced, not in the snapshot──▶ gone
 *   └───retry──────────┘ ─────────┘
 */
type PodState = 'starting' | 'running' | 'pending' | 'gone';

interface Pod extends Timer {
  readonly uid: PodUid;
  readonly info: PodInfo;
  readonly netnsId: string;
  /** Ours, until the pod runs: to try again with. */
  netnsFd: number | undefined;
  state: PodState;
  /** Has the host been given it, and not been told to stop it? */
  isOnHost: boolean;
  /** Ends with the latest start. */
  settled: Promise<void> | undefined;
  /** Did the agent name it on this connection? */
  named: boolean;
  failingSinceMs: number | undefined;
  lastError: string;
  /** Requests that wait for the start to end. */
  readonly waiting: Set<Waiting>;
}

/**
 * Which pods are served: what the CNI agent says, reconciled with what already runs. It decides and keeps
 * book; a {@link PodHost} does the work. One agent connection at a time.
 */
export class Pods {
  readonly #host: PodHost;
  readonly #loop: PodsLoop;
  readonly #log: PodsLog;
  readonly #netns: NetnsHandles;
  readonly #pods = new Map<PodUid, Pod>();
  /** Starts that have not ended, also of pods that are gone. */
  readonly #unsettled = new Map<PodUid, Promise<void>>();
  #connected = false;
  #hasSnapshot = false;

  constructor({ host, loop, log, netns = netnsHandles }: PodsOptions) {
    this.#host = host;
    this.#loop = loop;
    this.#log = log;
    this.#netns = netns;
  }

  /** Pods that are served now. */
  get runningCount(): number {
    return this.#count((pod) => pod.state === 'running');
  }

  /** Pods that failed to start and are tried again. */
  get pendingCount(): number {
    return this.#count((pod) => pod.failingSinceMs !== undefined);
  }

  /** Why {@link READINESS_TASK} is not done; undefined when it is. */
  get notReadyBecause(): string | undefined {
    if (!this.#connected) return 'not connected to the CNI agent';
    if (!this.#hasSnapshot) return "the CNI agent's snapshot is not complete";
    const blocking = [...this.#pods.values()].find((pod) => this.#blocksReadiness(pod));
    if (blocking === undefined) return undefined;
    return `pod ${describePod(blocking)} can't be started: ${blocking.lastError}`;
  }

  /** A pod that a predecessor handed over while it was running. It stays if the snapshot names it. */
  adopt(uid: PodUid, info: PodInfo, netnsId: string): void {
    invariant(!this.#pods.has(uid), `pod ${uid} is adopted once`);
    const pod = this.#newPod(uid, info, netnsId);
    pod.state = 'running';
    pod.isOnHost = true;
    pod.named = false;
    this.#pods.set(uid, pod);
  }

  /** A conversation begins: the agent will name every pod again, the failing ones too. */
  onConnected(): void {
    this.#connected = true;
    this.#hasSnapshot = false;
    for (const pod of this.#pods.values()) {
      pod.named = false;
      if (pod.state === 'pending') this.#remove(pod);
    }
  }

  /** The conversation is over. Everything that runs goes on. */
  onDisconnected(): void {
    this.#connected = false;
    this.#hasSnapshot = false;
  }

  /**
   * Does what a request says. `answer` is called exactly once, at the latest after {@link ACK_DEADLINE_MS}.
   * `netnsFd` comes with 'add' and belongs to this object from now on.
   */
  handle(request: ZdsRequest, netnsFd: number, answer: (outcome: Outcome) => void): void {
    switch (request.kind) {
      case 'add':
        this.#add(request, netnsFd, answer);
        return;
      case 'keep':
        answer(this.#keep(request.uid));
        return;
      case 'del':
        this.#delete(request.uid);
        answer(OK);
        return;
      case 'snapshot-sent':
        answer(this.#reconcile());
        return;
      default:
        unreachable(request);
    }
  }

  #add(
    { uid, info }: ZdsRequest & { kind: 'add' },
    netnsFd: number,
    answer: (outcome: Outcome) => void,
  ): void {
    const netnsId = this.#netns.identify(netnsFd);
    const known = this.#pods.get(uid);
    if (netnsId === undefined || (known === undefined && this.#pods.size >= PODS_MAX)) {
      this.#netns.close(netnsFd);
      const error =
        netnsId === undefined
          ? `The descriptor that came with pod "${uid}" is no network namespace`
          : `Cannot add pod "${uid}": there are ${PODS_MAX} pods already`;
      answer({ error, violation: false });
      return;
    }
    if (known !== undefined && known.netnsId === netnsId && known.state !== 'pending') {
      this.#netns.close(netnsFd);
      known.named = true;
      this.#answerWhenStarted(known, answer);
      return;
    }
    const other = this.#inNamespace(netnsId, uid);
    if (other?.named === true) {
      this.#netns.close(netnsFd);
      const error = `Cannot add pod "${uid}": its network namespace is that of pod ${describePod(other)}`;
      this.#log('warn', error);
      answer({ error, violation: false });
      return;
    }
    // The agent does not name it (any more): it goes, or the kernel would deal its connections among both.
    if (other !== undefined) this.#withdraw(other, `pod "${uid}" has its network namespace now`);
    const pod = this.#newPod(uid, info, netnsId);
    pod.netnsFd = netnsFd;
    // The agent's new attempt is no reason to call a failing pod healthy.
    if (known?.netnsId === netnsId) pod.failingSinceMs = known.failingSinceMs;
    if (known !== undefined) this.#remove(known);
    this.#pods.set(uid, pod);
    this.#start(pod);
    this.#answerWhenStarted(pod, answer);
  }

  #keep(uid: PodUid): Outcome {
    if (this.#hasSnapshot)
      return violation('A pod can be kept only before the snapshot is complete');
    const pod = this.#pods.get(uid);
    if (pod !== undefined) pod.named = true;
    return OK;
  }

  #delete(uid: PodUid): void {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    pod.named = false;
    // Until the snapshot is complete an add of the same pod may follow, and the proxy should live through it.
    if (this.#hasSnapshot || pod.state === 'pending') {
      this.#withdraw(pod, 'the CNI agent has withdrawn it');
    }
  }

  #reconcile(): Outcome {
    if (this.#hasSnapshot) return violation('The snapshot was complete already');
    this.#hasSnapshot = true;
    for (const pod of this.#pods.values()) {
      if (!pod.named) this.#withdraw(pod, "it is not in the CNI agent's snapshot");
    }
    return OK;
  }

  #start(pod: Pod): void {
    pod.state = 'starting';
    pod.settled = this.#startAndSettle(pod, this.#unsettled.get(pod.uid));
    this.#unsettled.set(pod.uid, pod.settled);
    // Nothing else tells Node's loop that promises of its are about to settle.
    this.#loop.returnToNode();
  }

  async #startAndSettle(pod: Pod, previous: Promise<void> | undefined): Promise<void> {
    if (previous !== undefined) await previous;
    const error = await this.#startOnHost(pod);
    if (this.#unsettled.get(pod.uid) === pod.settled) this.#unsettled.delete(pod.uid);
    this.#onStarted(pod, error);
  }

  async #startOnHost(pod: Pod): Promise<string | undefined> {
    if (pod.state === 'gone' || pod.netnsFd === undefined) return undefined;
    const copy = this.#netns.duplicate(pod.netnsFd);
    if (copy < 0) return `Cannot keep the network namespace: ${errnoName(copy)}`;
    try {
      pod.isOnHost = true;
      return await this.#host.start(pod.uid, pod.info, copy);
    } catch (error) {
      return `Cannot start: ${String(error)}`;
    }
  }

  #onStarted(pod: Pod, error: string | undefined): void {
    if (pod.state === 'gone') return;
    if (error === undefined) {
      pod.state = 'running';
      pod.failingSinceMs = undefined;
      this.#closeNetns(pod);
      this.#log('info', `Pod ${describePod(pod)} is served`);
    } else {
      this.#onFailed(pod, error);
    }
    for (const waiting of pod.waiting) waiting.end(error ?? '');
  }

  #onFailed(pod: Pod, error: string): void {
    pod.state = 'pending';
    pod.isOnHost = false;
    pod.lastError = error;
    pod.failingSinceMs ??= this.#loop.nowMs;
    this.#log('warn', `Cannot start pod ${describePod(pod)}: ${error}`);
    // Deleted while it was being started.
    if (!pod.named && this.#connected) return this.#remove(pod);
    const retryMs = this.#blocksReadiness(pod) ? RETRY_MS : SLOW_RETRY_MS;
    this.#loop.timers.schedule(pod, this.#loop.nowMs + retryMs);
  }

  #retry(pod: Pod): void {
    if (pod.state !== 'pending') return;
    if (!this.#blocksReadiness(pod) && this.#isDeserted(pod)) {
      this.#log('info', `Pod ${describePod(pod)} has gone: no more attempts to start it`);
      this.#remove(pod);
      return;
    }
    this.#start(pod);
  }

  #isDeserted(pod: Pod): boolean {
    try {
      return pod.netnsFd === undefined || this.#netns.isDeserted(pod.netnsFd);
    } catch {
      // A namespace that can't be entered: the next attempt says why.
      return false;
    }
  }

  #blocksReadiness(pod: Pod): boolean {
    const { failingSinceMs } = pod;
    return failingSinceMs !== undefined && this.#loop.nowMs - failingSinceMs < BLOCKS_READINESS_MS;
  }

  #answerWhenStarted(pod: Pod, answer: (outcome: Outcome) => void): void {
    if (pod.state === 'running') return answer(OK);
    const waiting = new Waiting(pod.waiting, this.#loop.timers, answer);
    this.#loop.timers.schedule(waiting, this.#loop.nowMs + ACK_DEADLINE_MS);
  }

  #withdraw(pod: Pod, why: string): void {
    this.#log('info', `Pod ${describePod(pod)} is served no more: ${why}`);
    this.#remove(pod);
  }

  #inNamespace(netnsId: string, butFor: PodUid): Pod | undefined {
    for (const pod of this.#pods.values()) {
      if (pod.netnsId === netnsId && pod.uid !== butFor) return pod;
    }
    return undefined;
  }

  #remove(pod: Pod): void {
    pod.state = 'gone';
    this.#pods.delete(pod.uid);
    this.#loop.timers.cancel(pod);
    this.#closeNetns(pod);
    if (pod.isOnHost) this.#host.stop(pod.uid);
    for (const waiting of pod.waiting)
      waiting.end('The pod was removed while it was being started');
    this.#loop.returnToNode();
  }

  #closeNetns(pod: Pod): void {
    if (pod.netnsFd !== undefined) this.#netns.close(pod.netnsFd);
    pod.netnsFd = undefined;
  }

  #newPod(uid: PodUid, info: PodInfo, netnsId: string): Pod {
    const pod: Pod = {
      uid,
      info,
      netnsId,
      netnsFd: undefined,
      state: 'starting',
      isOnHost: false,
      settled: undefined,
      named: true,
      failingSinceMs: undefined,
      lastError: '',
      waiting: new Set(),
      onTimer: () => this.#retry(pod),
    };
    return pod;
  }

  #count(matches: (pod: Pod) => boolean): number {
    let count = 0;
    for (const pod of this.#pods.values()) if (matches(pod)) count++;
    return count;
  }
}

/** A request that is answered when a pod has started or failed, or when the agent would give up. */
class Waiting implements Timer {
  readonly #among: Set<Waiting>;
  readonly #timers: TimerWheel;
  readonly #answer: (outcome: Outcome) => void;

  constructor(among: Set<Waiting>, timers: TimerWheel, answer: (outcome: Outcome) => void) {
    this.#among = among;
    this.#timers = timers;
    this.#answer = answer;
    among.add(this);
  }

  end(error: string): void {
    this.#timers.cancel(this);
    if (this.#among.delete(this)) this.#answer({ error, violation: false });
  }

  onTimer(): void {
    this.end(`The pod's listeners are not open after ${ACK_DEADLINE_MS} ms`);
  }
}

function violation(error: string): Outcome {
  return { error, violation: true };
}

function describePod({ uid, info }: Pod): string {
  return `${info.namespace}/${info.name} (${uid})`;
}
