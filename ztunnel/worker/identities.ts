import type { Loop } from '#reactor/loop.ts';
import type { Timer } from '#reactor/timers.ts';
import { TlsContext, type TlsMaterial } from '#reactor/tls/context.ts';

import type { IdentitySource, IdentityWaiter } from '../proxy/context.ts';

/** What the control thread says about one identity. */
export type IdentityUpdate =
  | { readonly kind: 'available'; readonly material: TlsMaterial }
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'forgotten' };

/** How long a connection waits for the first certificate: an answer from the authority plus two quick retries. */
const IDENTITY_WAIT_MS = 10_000;

/** Longer than the deadline of a handshake. */
const RETIRED_FOR_MS = 15_000;

type Entry =
  | { readonly kind: 'ready'; readonly context: TlsContext }
  | { readonly kind: 'waiting'; readonly waiters: Map<IdentityWaiter, Waiting>; reason: string };

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
    const why = this.#entry.reason === '' ? '' : `: ${this.#entry.reason}`;
    this.waiter.onIdentityFailed(`identity error: no certificate for "${this.#identity}"${why}`);
  }
}

/** A worker's certificates, as TLS contexts. New ones serve new tunnels; open tunnels keep theirs. */
export class Identities implements IdentitySource {
  readonly #loop: Loop;
  readonly #entries = new Map<string, Entry>();

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /** Takes up what the control thread says. */
  update(identity: string, update: IdentityUpdate): void {
    const before = this.#entries.get(identity);
    switch (update.kind) {
      case 'available': {
        const context = new TlsContext(update.material);
        this.#retire(before);
        this.#entries.set(identity, { kind: 'ready', context });
        if (before?.kind === 'waiting') this.#wake(before.waiters, context);
        return;
      }
      case 'unavailable':
        this.#retire(before);
        if (before?.kind === 'waiting') before.reason = update.reason;
        else
          this.#entries.set(identity, {
            kind: 'waiting',
            waiters: new Map(),
            reason: update.reason,
          });
        return;
      case 'forgotten':
        this.#retire(before);
        // Whoever waits goes on waiting until its time is up: the identity may come back.
        if (before?.kind !== 'waiting' || before.waiters.size === 0) {
          this.#entries.delete(identity);
        }
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
      entry = { kind: 'waiting', waiters: new Map(), reason: '' };
      this.#entries.set(identity, entry);
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

  /** Handshakes that have begun with it may still need it, until their deadline. */
  #retire(entry: Entry | undefined): void {
    if (entry?.kind !== 'ready') return;
    const { context } = entry;
    const timer: Timer = { onTimer: () => context.free() };
    this.#loop.timers.schedule(timer, this.#loop.nowMs + RETIRED_FOR_MS);
  }

  #wake(waiters: ReadonlyMap<IdentityWaiter, Waiting>, context: TlsContext): void {
    for (const waiting of waiters.values()) {
      this.#loop.timers.cancel(waiting);
      waiting.waiter.onIdentityReady(context);
    }
  }
}
