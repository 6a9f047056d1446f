import { closeSync } from 'node:fs';

import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import { type Clock, systemClock } from '#common/clock.ts';
import type { LocalPod } from '#dataplane/state/view.ts';

import type { PodHost } from './inpod/pods.ts';
import type { PodInfo, PodUid } from './inpod/zds-protocol.ts';
import { netnsFdOf, type PackedPod } from './worker/packed-pod.ts';
import { WorkerDied, type Workers } from './worker/workers.ts';

/** A pod that a worker serves. */
export interface PlacedPod {
  readonly uid: PodUid;
  readonly pod: LocalPod;
  readonly worker: number;
  readonly netnsFd: number;
  readonly state: 'starting' | 'up';
}

/** Who this node is, to tell its pods from others of the same name. */
export interface NodeFacts {
  readonly node: string | undefined;
  readonly clusterId: string;
}

/** What of {@link Workers} is needed here. */
export type PodWorkers = Pick<Workers, 'ask' | 'count'>;

/** Between attempts to start pods on a worker that stands in for one that died. */
const RESTART_RETRY: BackoffPlan = { firstMs: 500, maxMs: 30_000, spread: 0.2 };

/** Deals pods to workers: each pod belongs to one, which serves it alone. */
export class WorkerPodHost implements PodHost {
  /** Told of every change of {@link pods}. */
  onChange: () => void = () => undefined;
  readonly #workers: PodWorkers;
  readonly #facts: NodeFacts;
  readonly #report: (problem: string) => void;
  readonly #pods = new Map<PodUid, PlacedPod>();
  /** By worker: how often its pods were started again. */
  readonly #restarts = new Map<number, number>();
  readonly #clock: Clock;
  /** Told of every pod that goes. */
  readonly #waiting = new Set<() => void>();
  started = 0;
  stopped = 0;

  constructor(
    workers: PodWorkers,
    facts: NodeFacts,
    report: (problem: string) => void,
    clock: Clock = systemClock,
  ) {
    this.#workers = workers;
    this.#facts = facts;
    this.#report = report;
    this.#clock = clock;
  }

  pods(): Iterable<PlacedPod> {
    return this.#pods.values();
  }

  async start(uid: PodUid, info: PodInfo, netnsFd: number): Promise<string | undefined> {
    const { node, clusterId } = this.#facts;
    const pod: LocalPod = { ...info, clusterId, ...(node === undefined ? {} : { node }) };
    const worker = this.#leastBusy();
    const placed: PlacedPod = { uid, pod, worker, netnsFd, state: 'starting' };
    this.#place(placed);
    // However long it takes: until the worker has answered or died, it may use the descriptor.
    const problem = await this.#ask(placed);
    // Stopped meanwhile: stop() sees to the descriptor.
    if (this.#pods.get(uid) !== placed)
      return problem ?? 'the pod was removed while it was started';
    if (problem !== undefined) {
      this.#remove(uid);
      closeSync(netnsFd);
      return problem;
    }
    this.started++;
    this.#place({ ...placed, state: 'up' });
    return undefined;
  }

  stop(uid: PodUid): void {
    const placed = this.#remove(uid);
    if (placed === undefined) return;
    this.stopped++;
    const reason = 'connection closed due to connection drain';
    this.#workers.ask(placed.worker, { kind: 'stop-pod', uid, reason }).then(
      // The namespace lives as long as its descriptor is open.
      () => closeSync(placed.netnsFd),
      (error: unknown) => {
        if (error instanceof WorkerDied) closeSync(placed.netnsFd);
        // What is left of the pod may still use the descriptor: rather one too many than somebody else's.
        else this.#report(`cannot stop pod ${uid}: ${text(error)}`);
      },
    );
  }

  /** Deals the pods of a predecessor; each worker's share, to be adopted. */
  deal(packed: readonly PackedPod[]): readonly (readonly PackedPod[])[] {
    const shares: PackedPod[][] = Array.from({ length: this.#workers.count }, () => []);
    for (const each of packed) {
      const worker = this.#leastBusy();
      shares[worker]?.push(each);
      const uid = each.uid as PodUid;
      this.#place({ uid, pod: each.pod, worker, netnsFd: netnsFdOf(each), state: 'up' });
    }
    return shares;
  }

  /**
   * A worker was replaced by one that knows nothing: it gets its pods again. Their connections are lost. Settles when it
   * serves all that are still there; one that can't be served is tried again, later each time.
   */
  async restart(worker: number): Promise<void> {
    const attempt = (this.#restarts.get(worker) ?? 0) + 1;
    this.#restarts.set(worker, attempt);
    // Those that are being started have asked the new worker themselves.
    let left = [...this.#pods.values()].filter(
      (placed) => placed.worker === worker && placed.state === 'up',
    );
    for (let failures = 1; ; failures++) {
      left = await this.#restartSome(left);
      // It has died once more meanwhile: the next replacement gets them.
      if (this.#restarts.get(worker) !== attempt) return;
      await this.#pause(left, backoffMs(RESTART_RETRY, failures, Math.random));
      left = left.filter((placed) => this.#isPlaced(placed));
      if (left.length === 0 || this.#restarts.get(worker) !== attempt) return;
    }
  }

  /** For as long as one of them is still there. */
  async #pause(pods: readonly PlacedPod[], delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (!pods.some((placed) => this.#isPlaced(placed))) resolve();
    };
    using _ = this.#clock.setTimer(delayMs, resolve);
    this.#waiting.add(look);
    look();
    await promise;
    this.#waiting.delete(look);
  }

  #isPlaced(placed: PlacedPod): boolean {
    return this.#pods.get(placed.uid) === placed;
  }

  /** Those that failed. */
  async #restartSome(pods: readonly PlacedPod[]): Promise<PlacedPod[]> {
    const failed: PlacedPod[] = [];
    for (const placed of pods) {
      // Stopped meanwhile.
      if (!this.#isPlaced(placed)) continue;
      const problem = await this.#ask(placed);
      if (problem === undefined || !this.#isPlaced(placed)) continue;
      const { namespace, name } = placed.pod;
      this.#report(
        `cannot serve pod ${namespace}/${name} (${placed.uid}) again: ${problem}; not ready until it can, or the pod goes`,
      );
      failed.push(placed);
    }
    return failed;
  }

  async #ask({ worker, uid, pod, netnsFd }: PlacedPod): Promise<string | undefined> {
    try {
      const problem = await this.#workers.ask(worker, { kind: 'start-pod', uid, pod, netnsFd });
      return problem === '' ? undefined : problem;
    } catch (error) {
      return text(error);
    }
  }

  #leastBusy(): number {
    const counts = Array.from({ length: this.#workers.count }, () => 0);
    for (const { worker } of this.#pods.values()) counts[worker] = (counts[worker] ?? 0) + 1;
    return counts.indexOf(Math.min(...counts));
  }

  #place(placed: PlacedPod): void {
    this.#pods.set(placed.uid, placed);
    this.onChange();
  }

  #remove(uid: PodUid): PlacedPod | undefined {
    const placed = this.#pods.get(uid);
    if (placed === undefined) return undefined;
    this.#pods.delete(uid);
    for (const look of this.#waiting) look();
    this.onChange();
    return placed;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
