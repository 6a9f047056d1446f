import { type Clock, systemClock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';

import type { KubeClient } from './client.ts';
import { isAlreadyExists, isConflict, isNotFound } from './errors.ts';
import { LEASES, type Lease, type LeaseSpec } from './resources.ts';

export interface LeaderElectionOptions {
  readonly namespace: string;
  /** Of the Lease object that all candidates share. */
  readonly name: string;
  /** Ours: unlike that of every other candidate, as a pod's name. */
  readonly identity: string;
  /** Others may take over when the holder has not renewed for so long. Default 15 s. */
  readonly durationMs?: number;
  /** Between attempts to get it or to renew it. Default 2 s. */
  readonly retryMs?: number;
  /** Called when we have become the leader. `signal` aborts when we are no longer: stop at once. */
  readonly lead: (signal: AbortSignal) => void;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** A form of the lease, and when we first saw it: clocks of machines differ, so only ours counts. */
export interface LeaseSighting {
  readonly spec: LeaseSpec;
  readonly seenMs: number;
}

export type LeaseMove =
  /** It is ours, or nobody's, or its holder has not renewed it in time. */
  | { readonly kind: 'write'; readonly spec: LeaseSpec }
  | { readonly kind: 'wait'; readonly holder: string };

const DURATION_MS = 15_000;
const RETRY_MS = 2_000;
// We stop leading this part of the duration after our last renewal: before anybody else may start.
const RENEWED_FOR = 2 / 3;

/** What a candidate does about a lease (pure). `undefined`: there is none yet. */
export function nextLeaseMove(
  seen: LeaseSighting | undefined,
  identity: string,
  durationMs: number,
  nowMs: number,
): LeaseMove {
  const holder = seen?.spec.holderIdentity ?? '';
  const ours = holder === identity;
  if (seen !== undefined && holder !== '' && !ours) {
    const heldMs = (seen.spec.leaseDurationSeconds ?? durationMs / 1000) * 1000;
    if (seen.seenMs + heldMs > nowMs) return { kind: 'wait', holder };
  }
  const renewTime = microTime(nowMs);
  const transitions = seen?.spec.leaseTransitions ?? 0;
  return {
    kind: 'write',
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: Math.round(durationMs / 1000),
      acquireTime: ours ? (seen?.spec.acquireTime ?? renewTime) : renewTime,
      renewTime,
      leaseTransitions: ours || seen === undefined ? transitions : transitions + 1,
    },
  };
}

/** Competes for a Lease (coordination.k8s.io/v1) with others, so that at most one leads at a time. */
export class LeaderElection {
  readonly #client: KubeClient;
  readonly #options: LeaderElectionOptions;
  readonly #clock: Clock;
  readonly #durationMs: number;
  readonly #retryMs: number;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #lease: Lease | undefined;
  #seen: LeaseSighting | undefined;
  #leading: { readonly abort: AbortController; expiry: Disposable } | undefined;

  constructor(client: KubeClient, options: LeaderElectionOptions) {
    this.#client = client;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#durationMs = options.durationMs ?? DURATION_MS;
    this.#retryMs = options.retryMs ?? RETRY_MS;
  }

  get isLeader(): boolean {
    return this.#leading !== undefined;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops leading and gives the lease up, so that another can have it at once. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    this.#lose('stopped');
    if (this.#seen?.spec.holderIdentity === this.#options.identity) await this.#release();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await this.#attempt();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#options.log?.warn('cannot renew the lease', {
          name: this.#options.name,
          error: message,
        });
      }
      if (!signal.aborted) await this.#pause(signal);
    }
  }

  async #attempt(): Promise<void> {
    await this.#look();
    const { identity } = this.#options;
    const nowMs = this.#clock.now();
    const move = nextLeaseMove(this.#seen, identity, this.#durationMs, nowMs);
    if (move.kind === 'wait') {
      this.#lose(`"${move.holder}" has it`);
      return;
    }
    if (!(await this.#write(move.spec)) || this.#stopped.signal.aborted) return;
    // Counted from before the request: others count from when they see the answer's effect, later.
    this.#hold(nowMs);
  }

  /** Reads the lease. One that we have seen before keeps the time at which we saw it. */
  async #look(): Promise<void> {
    const { namespace, name } = this.#options;
    try {
      const lease = await this.#client.get(LEASES, name, namespace);
      const same = lease.metadata.resourceVersion === this.#lease?.metadata.resourceVersion;
      if (same && this.#seen !== undefined) return;
      this.#lease = lease;
      this.#seen = { spec: lease.spec ?? {}, seenMs: this.#clock.now() };
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#lease = undefined;
      this.#seen = undefined;
    }
  }

  /** False when another was quicker. */
  async #write(spec: LeaseSpec): Promise<boolean> {
    try {
      const lease = this.#lease;
      this.#lease =
        lease === undefined
          ? await this.#client.create(LEASES, this.#newLease(spec))
          : await this.#client.replace(LEASES, { ...lease, spec: { ...lease.spec, ...spec } });
      this.#seen = { spec, seenMs: this.#clock.now() };
      return true;
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error)) return false;
      throw error;
    }
  }

  #newLease(spec: LeaseSpec): Lease {
    const { namespace, name } = this.#options;
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name },
      spec,
    };
  }

  #hold(renewedMs: number): void {
    const untilMs = renewedMs + this.#durationMs * RENEWED_FOR;
    const expiry = this.#clock.setTimer(untilMs - this.#clock.now(), () => {
      this.#lose('it could not be renewed in time');
    });
    if (this.#leading !== undefined) {
      this.#leading.expiry[Symbol.dispose]();
      this.#leading.expiry = expiry;
      return;
    }
    const abort = new AbortController();
    this.#leading = { abort, expiry };
    this.#options.log?.info('leading', { name: this.#options.name });
    this.#options.lead(abort.signal);
  }

  #lose(why: string): void {
    const leading = this.#leading;
    if (leading === undefined) return;
    this.#leading = undefined;
    leading.expiry[Symbol.dispose]();
    this.#options.log?.info('no longer leading', { name: this.#options.name, why });
    leading.abort.abort();
  }

  async #release(): Promise<void> {
    try {
      await this.#write({ holderIdentity: '', leaseDurationSeconds: 1 });
    } catch (error) {
      // The lease runs out by itself; releasing it only spares the next one the wait.
      const message = error instanceof Error ? error.message : String(error);
      this.#options.log?.debug('cannot release the lease', { error: message });
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer[Symbol.dispose]();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#clock.setTimer(this.#retryMs, done);
      signal.addEventListener('abort', done);
    });
  }
}

/** RFC 3339 with microseconds, as the API wants it of a lease. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
