import { closeSync } from 'node:fs';

import type { LocalPod } from '#dataplane/state/view.ts';

import type { PodHost } from './inpod/pods.ts';
import type { PodInfo, PodUid } from './inpod/zds-protocol.ts';
import type { PodState } from './worker/pod-state.ts';
import type { Workers } from './worker/workers.ts';

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

/** Deals pods to workers: each pod belongs to one, which serves it alone. */
export class WorkerPodHost implements PodHost {
  /** Told of every change of {@link pods}. */
  onChange: () => void = () => undefined;
  readonly #workers: Workers;
  readonly #facts: NodeFacts;
  readonly #report: (problem: string) => void;
  readonly #pods = new Map<PodUid, PlacedPod>();
  started = 0;
  stopped = 0;

  constructor(workers: Workers, facts: NodeFacts, report: (problem: string) => void) {
    this.#workers = workers;
    this.#facts = facts;
    this.#report = report;
  }

  pods(): Iterable<PlacedPod> {
    return this.#pods.values();
  }

  async start(uid: PodUid, info: PodInfo, netnsFd: number): Promise<string | undefined> {
    const { node, clusterId } = this.#facts;
    const pod: LocalPod = { ...info, clusterId, ...(node === undefined ? {} : { node }) };
    const worker = this.#leastBusy();
    this.#place({ uid, pod, worker, netnsFd, state: 'starting' });
    const problem = await this.#ask(worker, uid, pod, netnsFd);
    const placed = this.#pods.get(uid);
    // Stopped meanwhile: stop() has closed everything.
    if (placed?.netnsFd !== netnsFd) return problem ?? 'the pod was removed while it was started';
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
    this.#workers
      .ask(placed.worker, { kind: 'stop-pod', uid, reason })
      .catch((error: unknown) => this.#report(`cannot stop pod ${uid}: ${text(error)}`))
      // The namespace lives as long as its descriptor is open.
      .finally(() => closeSync(placed.netnsFd));
  }

  /** Deals the pods of a predecessor; each worker's share, to be adopted. */
  deal(states: readonly PodState[]): readonly (readonly PodState[])[] {
    const shares: PodState[][] = Array.from({ length: this.#workers.count }, () => []);
    for (const state of states) {
      const worker = this.#leastBusy();
      shares[worker]?.push(state);
      const uid = state.uid as PodUid;
      this.#place({ uid, pod: state.pod, worker, netnsFd: state.netnsFd, state: 'up' });
    }
    return shares;
  }

  /** A worker was replaced by one that knows nothing: it gets its pods again. Their connections are lost. */
  async restart(worker: number): Promise<void> {
    for (const placed of this.#pods.values()) {
      if (placed.worker !== worker) continue;
      const problem = await this.#ask(worker, placed.uid, placed.pod, placed.netnsFd);
      if (problem !== undefined) this.#report(`cannot serve pod ${placed.uid} again: ${problem}`);
    }
  }

  async #ask(
    worker: number,
    uid: PodUid,
    pod: LocalPod,
    netnsFd: number,
  ): Promise<string | undefined> {
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
    this.onChange();
    return placed;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
