import { evaluate, type Verdict } from '#dataplane/authz/evaluate.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';
import type { WorkloadUid } from '#dataplane/state/names.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';

import type { PeerCounts } from '#dataplane/workers/peer-counts.ts';

export type Denial = Verdict & { readonly kind: 'deny' };

/** An inbound connection that policies decide about for as long as it lives. */
export interface PolicedConnection {
  readonly facts: ConnectionFacts;
  /** The destination as it was known when the connection came. */
  readonly workload: Workload;
  /** A policy change has made it forbidden: ends both sides at once. */
  cut(denial: Denial): void;
}

/**
 * The live inbound connections of a thread. A connection is registered before its policies are read, so
 * that a change in between still finds it.
 */
export class Connections {
  /** Told of every judgement; for the log of what policies decide and would decide. */
  onVerdict: ((facts: ConnectionFacts, verdict: Verdict) => void) | undefined;
  readonly #mesh: MeshView;
  readonly #peers: PeerCounts;
  readonly #live = new Set<PolicedConnection>();

  /** `peers`: the live connections are counted there, by source. */
  constructor(mesh: MeshView, peers: PeerCounts) {
    this.#mesh = mesh;
    this.#peers = peers;
  }

  get size(): number {
    return this.#live.size;
  }

  register(connection: PolicedConnection): void {
    if (this.#live.has(connection)) return;
    this.#live.add(connection);
    this.#peers.add(connection.facts.sourceIp);
  }

  forget(connection: PolicedConnection): void {
    if (this.#live.delete(connection)) this.#peers.remove(connection.facts.sourceIp);
  }

  /** What the policies of this moment say. */
  judge(connection: PolicedConnection): Verdict {
    // The workload as it is now: a policy may have come to select it since the connection was accepted.
    const uid: WorkloadUid = connection.workload.uid;
    const workload = this.#mesh.workload(uid) ?? connection.workload;
    const verdict = evaluate(this.#mesh.policiesFor(workload), connection.facts);
    this.onVerdict?.(connection.facts, verdict);
    return verdict;
  }

  /**
   * Judges everything again, or what goes to some workloads, and cuts what is no longer allowed. How many
   * were cut. A fault at one connection keeps none behind it from its judgement; the first is thrown at the end.
   */
  judgeAgain(workloads?: ReadonlySet<WorkloadUid>): number {
    let cut = 0;
    const faults: unknown[] = [];
    for (const connection of this.#live) {
      if (workloads !== undefined && !workloads.has(connection.workload.uid)) continue;
      try {
        const verdict = this.judge(connection);
        if (verdict.kind !== 'deny') continue;
        cut++;
        connection.cut(verdict);
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
    return cut;
  }
}
