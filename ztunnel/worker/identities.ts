import type { Loop } from '#reactor/loop.ts';
import type { Timer } from '#reactor/timers.ts';
import { TlsContext, type TlsMaterial } from '#reactor/tls/context.ts';

import type { IdentitySource, IdentityWaiter } from '../proxy/context.ts';

/** What the control thread says about one identity. */
export type IdentityUpdate =
  | { readonly kind: 'available'; readonly material: TlsMaterial }
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'forgotten' };

/** What of a thread's `Loop` is needed here. */
export type IdentitiesLoop = Pick<Loop, 'timers' | 'nowMs'>;

/** How long a connection waits for the first certificate: an answer from the authority plus two quick retries. */
const IDENTITY_WAIT_MS = 10_000;

/** The control thread is told at most this often that connections want an identity. */
const WANTED_INTERVAL_MS = 1_000;

/** Longer than the deadline of a handshake. */
const RETIRED_FOR_MS = 15_000;

/**
 * waiting ──available──▶ ready ──unavailable──▶ unavailable ──available──▶ ready
 *    └───unavailable: those who wait are told───────▲
 */
type Entry =
  | { readonly kind: 'ready'; readonly context: TlsContext }
  | {
      readonly kind: 'waiting';
      readonly waiters: Map<IdentityWaiter, Waiting>;
      wantedMs: number | undefined;
    }
  /** Connections fail at once. */
  | { readonly kind: 'unavailable'; readonly reason: string; wantedMs: number | undefined };

class Waiting implements Timer {
  readonly #entry: Entry & { readonly kind: 'waiting' };
  readonly waiter: IdentityWaiter;
  readonly #identity: string;

  constructor(
    entry: Entry & { readonly kind: 'waiting' },
    waiter: IdentityWaiter,
    identity: string,
  ) {
    this.#entry = entry;
    this.waiter = waiter;
    this.#identity = identity;
  }

  onTimer(): void {
    this.#entry.waiters.delete(this.waiter);
    const why = `the certificate authority has not answered for ${IDENTITY_WAIT_MS / 1_000} s`;
    this.waiter.onIdentityFailed(noCertificate(this.#identity, why));
  }

  onFault(error: unknown): void {
    this.waiter.onFault(error);
  }
}

/** A worker's certificates, as TLS contexts. New ones serve new tunnels; open tunnels keep theirs. */
export class Identities implements IdentitySource {
  readonly #loop: IdentitiesLoop;
  readonly #onWanted: (identity: string) => void;
  readonly #entries = new Map<string, Entry>();

  /** `onWanted`: a connection needs an identity for which there is no certificate. */
  constructor(loop: IdentitiesLoop, onWanted: (identity: string) => void) {
    this.#loop = loop;
    this.#onWanted = onWanted;
  }

  /**
   * Takes up what the control thread says. A text: the new certificate can't be used, and why. Then the one
   * before it stays; where there was none, connections fail.
   */
  update(identity: string, update: IdentityUpdate): string | undefined {
    const before = this.#entries.get(identity);
    switch (update.kind) {
      case 'available': {
        const context = usable(update.material);
        if (typeof context === 'string') {
          if (before?.kind !== 'ready') this.#makeUnavailable(identity, context, before);
          return `the certificate of "${identity}" can't be used: ${context}`;
        }
        this.#retire(before);
        this.#entries.set(identity, { kind: 'ready', context });
        if (before?.kind === 'waiting') this.#wake(before.waiters, context);
        return undefined;
      }
      case 'unavailable':
        this.#retire(before);
        this.#makeUnavailable(identity, update.reason, before);
        return undefined;
      case 'forgotten':
        this.#retire(before);
        // Whoever waits goes on waiting until its time is up: the identity may come back.
        if (before?.kind !== 'waiting' || before.waiters.size === 0) {
          this.#entries.delete(identity);
        }
        return undefined;
    }
  }

  /** Gives `waiter` the identity's context, now or when there is one, or tells why there is none in time. */
  whenReady(identity: string, waiter: IdentityWaiter): void {
    let entry = this.#entries.get(identity);
    if (entry?.kind === 'ready') {
      waiter.onIdentityReady(entry.context);
      return;
    }
    if (entry === undefined) {
      entry = { kind: 'waiting', waiters: new Map(), wantedMs: undefined };
      this.#entries.set(identity, entry);
    }
    this.#want(identity, entry);
    if (entry.kind === 'unavailable') {
      waiter.onIdentityFailed(noCertificate(identity, entry.reason));
      return;
    }
    const waiting = new Waiting(entry, waiter, identity);
    entry.waiters.set(waiter, waiting);
    this.#loop.timers.schedule(waiting, this.#loop.nowMs + IDENTITY_WAIT_MS);
  }

  /** Takes back a {@link whenReady}: the waiter is not called any more. */
  cancel(identity: string, waiter: IdentityWaiter): void {
    const entry = this.#entries.get(identity);
    if (entry?.kind !== 'waiting') return;
    const waiting = entry.waiters.get(waiter);
    if (waiting === undefined) return;
    entry.waiters.delete(waiter);
    this.#loop.timers.cancel(waiting);
  }

  /** The context, when there is one now. */
  ready(identity: string): TlsContext | undefined {
    const entry = this.#entries.get(identity);
    return entry?.kind === 'ready' ? entry.context : undefined;
  }

  #makeUnavailable(identity: string, reason: string, before: Entry | undefined): void {
    this.#entries.set(identity, { kind: 'unavailable', reason, wantedMs: undefined });
    if (before?.kind === 'waiting') this.#fail(before.waiters, noCertificate(identity, reason));
  }

  /** Handshakes that have begun with it may still need it, until their deadline. */
  #retire(entry: Entry | undefined): void {
    if (entry?.kind !== 'ready') return;
    const { context } = entry;
    const timer: Timer = { onTimer: () => context.free() };
    this.#loop.timers.schedule(timer, this.#loop.nowMs + RETIRED_FOR_MS);
  }

  #want(identity: string, entry: Exclude<Entry, { readonly kind: 'ready' }>): void {
    const { nowMs } = this.#loop;
    if (entry.wantedMs !== undefined && nowMs - entry.wantedMs < WANTED_INTERVAL_MS) return;
    entry.wantedMs = nowMs;
    this.#onWanted(identity);
  }

  #fail(waiters: ReadonlyMap<IdentityWaiter, Waiting>, reason: string): void {
    this.#tellAll(waiters, (waiter) => waiter.onIdentityFailed(reason));
  }

  #wake(waiters: ReadonlyMap<IdentityWaiter, Waiting>, context: TlsContext): void {
    this.#tellAll(waiters, (waiter) => waiter.onIdentityReady(context));
  }

  /** One that throws is closed, and the others are told all the same; then the first error is thrown. */
  #tellAll(
    waiters: ReadonlyMap<IdentityWaiter, Waiting>,
    tell: (waiter: IdentityWaiter) => void,
  ): void {
    const errors: unknown[] = [];
    for (const waiting of waiters.values()) {
      this.#loop.timers.cancel(waiting);
      try {
        tell(waiting.waiter);
      } catch (error) {
        errors.push(error);
        waiting.waiter.onFault(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

function usable(material: TlsMaterial): TlsContext | string {
  try {
    return new TlsContext(material);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function noCertificate(identity: string, why: string): string {
  return `identity error: no certificate for "${identity}": ${why}`;
}
