import type { Clock } from '#common/clock.ts';
import type { Identity } from '#common/tls/spiffe.ts';

import type { CertificateSigner, SignResult } from './ca-client.ts';
import type { IdentityMaterial } from './material.ts';
import {
  FIRST_CERTIFICATE_PATIENCE_MS,
  firstRefreshAtMs,
  RETRY_ON_DEMAND_MS,
  refreshAtMs,
  retryDelayMs,
} from './refresh-plan.ts';

/** Who waits: a connection, nobody yet but soon (a pod has come), or nobody. Higher goes first. */
export type Priority = keyof typeof RANK;
const RANK = { background: 0, warmup: 1, 'real-time': 2 } as const;

/**
 * ```
 *                 signed
 * initializing ────────────► available ◄───── signed ──────┐
 *      │                         │ its end, not renewed    │
 *      │ refused for good, or    ▼                         │
 *      └─ patience is over ──► unavailable ────────────────┘
 *
 * any ── nobody wants it ──► no entry ("forgotten" is reported)
 * ```
 */
export type CertificateState =
  /** Connections wait. */
  | { readonly kind: 'initializing' }
  /** Invariant: not expired. Stays so while renewals fail. */
  | { readonly kind: 'available'; readonly material: IdentityMaterial }
  /** Connections fail at once, with this reason; attempts go on. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** What users of a certificate must know. Nothing known yet counts as initializing. */
export type CertificateChange =
  | Exclude<CertificateState, { kind: 'initializing' }>
  | { readonly kind: 'forgotten' };

/** An attempt that failed, for the log. */
export interface AttemptFailure {
  readonly reason: string;
  readonly failuresInARow: number;
  readonly nextAttemptMs: number;
  /** Until when the certificate that we have can be used; undefined: we have none. */
  readonly usableUntilMs: number | undefined;
}

export interface CertificateManagerOptions {
  readonly signer: CertificateSigner;
  readonly clock: Clock;
  /** From 0 to 1, like Math.random. */
  readonly random: () => number;
  /** Called for every change, synchronously. May call the manager. */
  readonly onChange: (identity: Identity, change: CertificateChange) => void;
  /** Called for the first failure, when the reason changes, and then every {@link FAILURE_REPORT_MS} at most. */
  readonly onFailure?: (identity: Identity, failure: AttemptFailure) => void;
}

/** What is held for one identity, for people and tools: without its private key. */
export interface ManagedCertificate {
  readonly identity: Identity;
  readonly state:
    | { readonly kind: 'initializing' }
    | {
        readonly kind: 'available';
        readonly chainPem: readonly string[];
        readonly rootsPem: string;
      }
    | { readonly kind: 'unavailable'; readonly error: string };
}

/** Requests to the authority at the same time. */
export const REQUESTS_MAX = 8;

/**
 * A certificate that nobody wants any more is kept for this long, but not renewed: the pod that is replaced,
 * or a workload whose configuration is written anew, is back by then.
 */
export const UNWANTED_KEPT_MS = 60_000;

/** A reason that stays is not news: attempts can come several times a second. */
const FAILURE_REPORT_MS = 30_000;

// Timers count the time that the machine was awake, certificates end by the calendar: look at least
// this often, so that a clock that was set or a machine that slept is noticed.
const WAKE_INTERVAL_MS_MAX = 60_000;

/** waiting ── due ──► queued ── a request may start ──► running ──► waiting */
type Work =
  | { readonly kind: 'waiting'; readonly dueMs: number }
  /** Equal priorities go by when they should have started. */
  | { readonly kind: 'queued'; readonly dueMs: number }
  | { readonly kind: 'running'; readonly abort: AbortController };

interface Entry {
  readonly identity: Identity;
  state: CertificateState;
  work: Work;
  /** Of the attempt that is queued, running or next. */
  priority: Priority;
  /** Attempts that failed since the last success (or since quick retries ended). */
  failures: number;
  /** Until then, an identity without a certificate is initializing. */
  readonly patienceEndsMs: number;
  /** When the last attempt ended. */
  attemptedMs: number;
  lastReason: string | undefined;
  /** Since when nobody has wanted it; undefined while somebody does. */
  unwantedSinceMs: number | undefined;
  /** The last failure that was told. */
  told: { readonly reason: string; readonly atMs: number } | undefined;
}

/**
 * Keeps one certificate per identity: gets it, renews it, drops it. It lives on the control thread;
 * what it decides is told through `onChange`, and nobody waits inside it.
 */
export class CertificateManager implements Disposable {
  readonly #options: CertificateManagerOptions;
  readonly #entries = new Map<Identity, Entry>();
  #running = 0;
  #wakeTimer: Disposable | undefined;
  #disposed = false;

  constructor(options: CertificateManagerOptions) {
    this.#options = options;
  }

  /**
   * Asks for a certificate of this identity to be had and kept. Asking again is free: requests merge,
   * a higher priority moves one that waits forward.
   */
  want(identity: Identity, priority: Priority): void {
    if (this.#add(identity, priority)) this.#turn();
  }

  /**
   * These are wanted now, and no others: a certificate that is not among them is forgotten after
   * {@link UNWANTED_KEPT_MS}, an identity that has none at once.
   */
  wantOnly(wanted: ReadonlyMap<Identity, Priority>): void {
    const nowMs = this.#options.clock.now();
    for (const entry of this.#entries.values()) {
      if (!wanted.has(entry.identity)) entry.unwantedSinceMs ??= nowMs;
    }
    for (const [identity, priority] of wanted) this.#add(identity, priority);
    this.#turn();
  }

  /**
   * Takes over a certificate from a predecessor, unless it is expired or we have one. Nobody has wanted it
   * yet: it is forgotten when nobody does.
   */
  seed(identity: Identity, material: IdentityMaterial): void {
    const nowMs = this.#options.clock.now();
    if (material.notAfterMs <= nowMs) return;
    const held = this.#entries.get(identity);
    if (held?.state.kind === 'available') return;
    const entry = held ?? this.#create(identity, 'background');
    if (held === undefined) entry.unwantedSinceMs = nowMs;
    if (entry.work.kind !== 'running')
      entry.work = { kind: 'waiting', dueMs: refreshAtMs(material, this.#options.random) };
    this.#become(entry, { kind: 'available', material });
    this.#turn();
  }

  /** What there is, for a dump. */
  states(): readonly ManagedCertificate[] {
    return [...this.#entries.values()].map(({ identity, state }) => ({
      identity,
      state: withoutKey(state),
    }));
  }

  /** The certificates with their private keys, for `seed` in the process that takes over. */
  materials(): ReadonlyArray<{ readonly identity: Identity; readonly material: IdentityMaterial }> {
    return [...this.#entries.values()].flatMap(({ identity, state }) =>
      state.kind === 'available' ? [{ identity, material: state.material }] : [],
    );
  }

  /** Stops everything; reports nothing more. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#wakeTimer?.[Symbol.dispose]();
    for (const { work } of this.#entries.values()) {
      if (work.kind === 'running') work.abort.abort();
    }
    this.#entries.clear();
  }

  /** Whether this gives us something to do. */
  #add(identity: Identity, priority: Priority): boolean {
    const entry = this.#entries.get(identity);
    if (entry === undefined) {
      this.#create(identity, priority);
      return true;
    }
    const wasUnwanted = entry.unwantedSinceMs !== undefined;
    entry.unwantedSinceMs = undefined;
    // The common case: callers ask for all that they need at every change of the mesh.
    if (entry.state.kind === 'available') return wasUnwanted;
    this.#hurry(entry, priority);
    return true;
  }

  #create(identity: Identity, priority: Priority): Entry {
    const nowMs = this.#options.clock.now();
    const entry: Entry = {
      identity,
      state: { kind: 'initializing' },
      work: { kind: 'queued', dueMs: nowMs },
      priority,
      failures: 0,
      patienceEndsMs: nowMs + FIRST_CERTIFICATE_PATIENCE_MS,
      attemptedMs: nowMs,
      lastReason: undefined,
      unwantedSinceMs: undefined,
      told: undefined,
    };
    this.#entries.set(identity, entry);
    return entry;
  }

  #hurry(entry: Entry, priority: Priority): void {
    const { clock, random } = this.#options;
    if (RANK[priority] > RANK[entry.priority]) entry.priority = priority;
    if (entry.work.kind !== 'waiting' || entry.priority !== 'real-time') return;
    const earliestMs =
      entry.state.kind === 'initializing'
        ? entry.attemptedMs + retryDelayMs(entry.failures, true, random)
        : entry.attemptedMs + RETRY_ON_DEMAND_MS;
    const dueMs = Math.min(entry.work.dueMs, Math.max(clock.now(), earliestMs));
    entry.work = { kind: 'waiting', dueMs };
  }

  /** Does everything that is due, then sleeps until the next thing is. */
  #turn(): void {
    if (this.#disposed) return;
    const nowMs = this.#options.clock.now();
    for (const entry of this.#entries.values()) {
      if (entry.unwantedSinceMs !== undefined) {
        if (forgetAtMs(entry) <= nowMs) this.#forget(entry);
        continue;
      }
      if (entry.state.kind === 'available' && entry.state.material.notAfterMs <= nowMs)
        this.#expire(entry, entry.state.material.notAfterMs);
      if (entry.work.kind === 'waiting' && entry.work.dueMs <= nowMs)
        entry.work = { kind: 'queued', dueMs: entry.work.dueMs };
    }
    while (this.#running < REQUESTS_MAX) {
      const next = this.#nextQueued();
      if (next === undefined) break;
      this.#start(next);
    }
    this.#sleep(nowMs);
  }

  #sleep(nowMs: number): void {
    let wakeMs = nowMs + WAKE_INTERVAL_MS_MAX;
    for (const entry of this.#entries.values()) {
      const { state, work } = entry;
      if (entry.unwantedSinceMs !== undefined) {
        wakeMs = Math.min(wakeMs, forgetAtMs(entry));
        continue;
      }
      if (work.kind === 'waiting') wakeMs = Math.min(wakeMs, work.dueMs);
      if (state.kind === 'available') wakeMs = Math.min(wakeMs, state.material.notAfterMs);
    }
    this.#wakeTimer?.[Symbol.dispose]();
    this.#wakeTimer =
      this.#entries.size === 0
        ? undefined
        : this.#options.clock.setTimer(wakeMs - nowMs, () => this.#turn());
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.identity);
    if (entry.work.kind === 'running') entry.work.abort.abort();
    this.#options.onChange(entry.identity, { kind: 'forgotten' });
  }

  #nextQueued(): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.unwantedSinceMs !== undefined) continue;
      if (entry.work.kind === 'queued' && (best === undefined || goesBefore(entry, best)))
        best = entry;
    }
    return best;
  }

  #start(entry: Entry): void {
    const abort = new AbortController();
    entry.work = { kind: 'running', abort };
    this.#running++;
    void this.#sign(entry.identity, abort.signal).then((result) => this.#finished(entry, result));
  }

  async #sign(identity: Identity, signal: AbortSignal): Promise<SignResult> {
    try {
      return await this.#options.signer.sign(identity, signal);
    } catch (error) {
      const reason = `Internal error: ${error instanceof Error ? error.message : String(error)}`;
      return { kind: 'failed', reason, retryable: true };
    }
  }

  #finished(entry: Entry, result: SignResult): void {
    this.#running--;
    // It may have been forgotten meanwhile, and wanted again: that is another entry.
    if (this.#entries.get(entry.identity) === entry) {
      entry.attemptedMs = this.#options.clock.now();
      if (result.kind === 'failed') this.#failed(entry, result.reason, result.retryable);
      else this.#signed(entry, materialOf(result));
    }
    this.#turn();
  }

  #signed(entry: Entry, material: IdentityMaterial): void {
    const { clock, random } = this.#options;
    const nowMs = clock.now();
    if (material.notAfterMs <= nowMs) {
      const reason = `The authority gave a certificate that ended at ${dateText(material.notAfterMs)}: check this machine's clock`;
      this.#failed(entry, reason, true);
      return;
    }
    entry.work = { kind: 'waiting', dueMs: firstRefreshAtMs(material, nowMs, random) };
    this.#become(entry, { kind: 'available', material });
  }

  #failed(entry: Entry, reason: string, retryable: boolean): void {
    const nowMs = this.#options.clock.now();
    entry.failures++;
    entry.lastReason = reason;
    const { state } = entry;
    const patient = state.kind === 'initializing' && retryable && nowMs < entry.patienceEndsMs;
    // The long delays begin anew when the quick ones are over.
    if (state.kind === 'initializing' && !patient) entry.failures = 1;
    const quick = patient && entry.priority === 'real-time';
    const delayMs = retryDelayMs(entry.failures, quick, this.#options.random);
    const usableUntilMs = state.kind === 'available' ? state.material.notAfterMs : undefined;
    const dueMs = Math.min(nowMs + delayMs, usableUntilMs ?? Number.POSITIVE_INFINITY);
    entry.work = { kind: 'waiting', dueMs };
    const isNews = entry.told?.reason !== reason || nowMs - entry.told.atMs >= FAILURE_REPORT_MS;
    if (isNews) {
      entry.told = { reason, atMs: nowMs };
      this.#options.onFailure?.(entry.identity, {
        reason,
        failuresInARow: entry.failures,
        nextAttemptMs: dueMs,
        usableUntilMs,
      });
    }
    if (state.kind !== 'available' && !patient)
      this.#become(entry, { kind: 'unavailable', reason });
  }

  #expire(entry: Entry, notAfterMs: number): void {
    const why = entry.lastReason === undefined ? '' : `: ${entry.lastReason}`;
    const reason = `The certificate ended at ${dateText(notAfterMs)} and could not be renewed${why}`;
    if (entry.work.kind === 'waiting') entry.work = { kind: 'queued', dueMs: notAfterMs };
    this.#become(entry, { kind: 'unavailable', reason });
  }

  #become(entry: Entry, next: Exclude<CertificateState, { kind: 'initializing' }>): void {
    const same =
      entry.state.kind === 'unavailable' &&
      next.kind === 'unavailable' &&
      entry.state.reason === next.reason;
    entry.state = next;
    if (next.kind === 'available') {
      entry.failures = 0;
      entry.lastReason = undefined;
      entry.told = undefined;
    }
    // Whoever waited has been answered: one without a certificate goes before mere renewals.
    entry.priority = next.kind === 'available' ? 'background' : 'warmup';
    if (!same) this.#options.onChange(entry.identity, next);
  }
}

/** When an entry that nobody wants goes; one without a usable certificate goes at once. */
function forgetAtMs({ state, unwantedSinceMs = 0 }: Entry): number {
  if (state.kind !== 'available') return unwantedSinceMs;
  return Math.min(unwantedSinceMs + UNWANTED_KEPT_MS, state.material.notAfterMs);
}

function goesBefore(one: Entry, other: Entry): boolean {
  if (one.priority !== other.priority) return RANK[one.priority] > RANK[other.priority];
  return one.work.kind !== 'running' && other.work.kind !== 'running'
    ? one.work.dueMs < other.work.dueMs
    : false;
}

function materialOf(signed: Extract<SignResult, { kind: 'signed' }>): IdentityMaterial {
  const { chainPem, privateKeyPem, rootsPem, notBeforeMs, notAfterMs } = signed;
  return { chainPem, privateKeyPem, rootsPem, notBeforeMs, notAfterMs };
}

function withoutKey(state: CertificateState): ManagedCertificate['state'] {
  switch (state.kind) {
    case 'initializing':
      return { kind: 'initializing' };
    case 'available':
      return {
        kind: 'available',
        chainPem: state.material.chainPem,
        rootsPem: state.material.rootsPem,
      };
    case 'unavailable':
      return { kind: 'unavailable', error: state.reason };
  }
}

function dateText(ms: number): string {
  return new Date(ms).toISOString();
}
