import type { DeltaDiscoveryRequest } from '#api/gen/discovery_pb.ts';

import { deltaBetween } from './delta.ts';
import { encodeResponse } from './resource.ts';
import {
  beginSubscription,
  changeSubscription,
  type Subscription,
  verdictOf,
  type Wish,
} from './subscription.ts';

/** All resources of one type, as they are now. */
export interface ResourceSource {
  /**
   * When several types have changed, their order: what is removed of a type that comes first goes last, so
   * that nothing refers to what is not there.
   */
  readonly typeUrl: string;
  /**
   * When what is told to have changed are keys, because clients have different resources of one name: the name that a key
   * stands for here, or undefined when it is somebody else's. Absent: keys are names.
   */
  readonly nameOf?: (key: string) => string | undefined;
  all(): Iterable<{ readonly name: string; readonly version: string }>;
  /** The entry of a response; undefined when there is no such resource. With aliases for clients that ask by name. */
  encoded(name: string, withAliases: boolean): Uint8Array | undefined;
  /** The names of what a name or an alias stands for, with what belongs to it. Empty: there is nothing. */
  lookup(name: string): readonly string[];
  /** What a client that asks by name is told without asking. */
  always(): readonly string[];
  /** Whether a client that asked for these names has to hear of a resource (which may have gone). */
  concerns(name: string, asked: ReadonlySet<string>): boolean;
}

/** What became of what was sent, per type. */
export interface StreamStatus {
  readonly typeUrl: string;
  readonly wildcard: boolean;
  readonly names: number;
  /** The nonces of the last response, and of the last that was acknowledged. */
  readonly sent: string;
  readonly acknowledged: string;
  readonly sentAtMs: number;
  /** Of the last refusal; undefined after an acceptance. */
  readonly refusal: string | undefined;
}

export interface ServerStreamOptions {
  /** In the order in which changes have to arrive. */
  readonly sources: readonly ResourceSource[];
  /** False: nothing more until `resume()`. */
  readonly send: (message: Uint8Array, typeUrl: string) => boolean;
  readonly now: () => number;
  /** What our state is called, for people. */
  readonly version: () => string;
  readonly onRefused: (typeUrl: string, message: string) => void;
  readonly onStale: (typeUrl: string) => void;
}

/** A request that this server does not take: the stream ends with its text. */
export type RequestProblem = { readonly kind: 'resource-exhausted'; readonly message: string };

// A node runs some hundred pods and talks to some thousand destinations.
const NAMES_MAX = 200_000;
// Clients take 200 MiB; what is larger is sent in pieces. Not smaller, because a client counts itself ready
// after the first response and must then know everything.
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;
/** A client that does not acknowledge gets no more; what changes meanwhile is merged. */
const UNACKNOWLEDGED_MAX = 8;

interface Watch {
  readonly source: ResourceSource;
  readonly subscription: Subscription;
  /** Nonces that were sent and not answered, oldest first. */
  unacknowledged: string[];
  /** Names that have changed or gone since they were sent. */
  readonly pending: Set<string>;
  /** A response is owed even if it is empty. */
  owed: boolean;
  sent: string;
  acknowledged: string;
  sentAtMs: number;
  refusal: string | undefined;
}

/** One client's stream, seen from the server: what it wants, what it has, what it must still be told. */
export class ServerStream {
  readonly #options: ServerStreamOptions;
  readonly #watches = new Map<string, Watch>();
  #nonces = 0;
  #blocked = false;

  constructor(options: ServerStreamOptions) {
    this.#options = options;
  }

  /** Types that this server does not have are ignored: newer clients may ask for them. */
  receive(request: DeltaDiscoveryRequest): RequestProblem | undefined {
    const source = this.#options.sources.find(({ typeUrl }) => typeUrl === request.typeUrl);
    if (source === undefined) return undefined;
    let watch = this.#watches.get(source.typeUrl);
    let wish: Wish;
    if (watch === undefined) {
      const begun = beginSubscription(request);
      watch = newWatch(source, begun.subscription);
      this.#watches.set(source.typeUrl, watch);
      wish = begun.wish;
    } else {
      this.#judge(watch, request);
      wish = changeSubscription(watch.subscription, request);
    }
    if (watch.subscription.names.size > NAMES_MAX) {
      return { kind: 'resource-exhausted', message: `More than ${NAMES_MAX} names are subscribed` };
    }
    grant(watch, wish);
    this.#flush();
    return undefined;
  }

  /** Resources of these names came, changed or went. */
  push(changes: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const [typeUrl, keys] of changes) {
      const watch = this.#watches.get(typeUrl);
      if (watch === undefined) continue;
      const { nameOf } = watch.source;
      const names =
        nameOf === undefined ? keys : new Set([...keys].flatMap((key) => nameOf(key) ?? []));
      if (watch.subscription.wildcard) for (const name of names) watch.pending.add(name);
      else addConcerned(watch, names);
    }
    this.#flush();
  }

  /** The transport takes messages again. */
  resume(): void {
    this.#blocked = false;
    this.#flush();
  }

  status(): readonly StreamStatus[] {
    return [...this.#watches.values()].map((watch) => ({
      typeUrl: watch.source.typeUrl,
      wildcard: watch.subscription.wildcard,
      names: watch.subscription.names.size,
      sent: watch.sent,
      acknowledged: watch.acknowledged,
      sentAtMs: watch.sentAtMs,
      refusal: watch.refusal,
    }));
  }

  #judge(watch: Watch, request: DeltaDiscoveryRequest): void {
    const verdict = verdictOf(request);
    if (verdict.kind === 'none') return;
    const position = watch.unacknowledged.indexOf(verdict.nonce);
    if (position === -1) {
      this.#options.onStale(watch.source.typeUrl);
      return;
    }
    watch.unacknowledged = watch.unacknowledged.slice(position + 1);
    watch.acknowledged = verdict.nonce;
    watch.refusal = verdict.kind === 'refused' ? verdict.message : undefined;
    if (verdict.kind === 'refused') this.#options.onRefused(request.typeUrl, verdict.message);
  }

  /**
   * Sends what is pending: what has come, type by type, then what has gone, the other way round. The order
   * holds for what is flushed together; a type that waits holds up those after it.
   */
  #flush(): void {
    const watches = this.#options.sources.flatMap(
      ({ typeUrl }) => this.#watches.get(typeUrl) ?? [],
    );
    const [first, ...others] = watches;
    if (first === undefined) return;
    for (const watch of watches) {
      // Of the first type, what has gone waits until the others no longer refer to it.
      const held = watch === first && others.some(({ pending }) => pending.size > 0);
      if (!this.#send(watch, held)) return;
    }
    this.#send(first, false);
  }

  /** False: it has to wait. */
  #send(watch: Watch, holdRemovals: boolean): boolean {
    const { source, subscription, pending } = watch;
    for (;;) {
      const resources: Uint8Array[] = [];
      const removed: string[] = [];
      let bytes = 0;
      let held = 0;
      if (pending.size === 0 && !watch.owed) return true;
      if (this.#blocked || watch.unacknowledged.length >= UNACKNOWLEDGED_MAX) return false;
      for (const name of pending) {
        if (bytes >= RESPONSE_BYTES_MAX) break;
        const encoded = source.encoded(name, !subscription.wildcard);
        if (encoded === undefined && holdRemovals) {
          held++;
          continue;
        }
        pending.delete(name);
        if (encoded === undefined) removed.push(name);
        else {
          resources.push(encoded);
          bytes += encoded.length;
        }
      }
      if (resources.length + removed.length === 0 && (held > 0 || !watch.owed)) return true;
      this.#write(watch, resources, removed);
      if (pending.size === held) return true;
    }
  }

  #write(watch: Watch, resources: readonly Uint8Array[], removed: readonly string[]): void {
    const { typeUrl } = watch.source;
    this.#nonces++;
    const nonce = String(this.#nonces);
    watch.owed = false;
    watch.sent = nonce;
    watch.sentAtMs = this.#options.now();
    watch.unacknowledged.push(nonce);
    const systemVersionInfo = this.#options.version();
    const message = encodeResponse({ typeUrl, nonce, systemVersionInfo, removed, resources });
    this.#blocked = !this.#options.send(message, typeUrl);
  }
}

/** What concerns a client can make others concern it that came before: a service, the workloads that it has. */
function addConcerned(watch: Watch, changed: ReadonlySet<string>): void {
  const { source, subscription, pending } = watch;
  const left = new Set(changed);
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const name of left) {
      if (!source.concerns(name, subscription.names)) continue;
      left.delete(name);
      subscription.names.add(name);
      pending.add(name);
    }
  }
}

function grant(watch: Watch, wish: Wish): void {
  const { source, subscription, pending } = watch;
  switch (wish.kind) {
    case 'nothing':
      return;
    case 'begin': {
      if (subscription.wildcard) {
        const { changed, removed } = deltaBetween(wish.known, source.all());
        for (const name of [...changed, ...removed]) pending.add(name);
      } else {
        demand(watch, [...wish.known.keys(), ...source.always()], wish.known);
      }
      watch.owed = true;
      return;
    }
    case 'more':
      demand(watch, wish.names, new Map());
      watch.owed = true;
      return;
  }
}

/** Names by which a client asks: what they stand for is sent from now on, and what stands for nothing is said to. */
function demand(
  { source, subscription, pending }: Watch,
  names: readonly string[],
  known: ReadonlyMap<string, string>,
): void {
  const versions = new Map<string, string>();
  if (known.size > 0) for (const { name, version } of source.all()) versions.set(name, version);
  for (const name of names) {
    const found = source.lookup(name);
    if (found.length === 0) pending.add(name);
    for (const one of found) {
      if (!subscription.wildcard) subscription.names.add(one);
      const held = known.get(one);
      if (held === undefined || held === '' || held !== versions.get(one)) pending.add(one);
    }
  }
}

function newWatch(source: ResourceSource, subscription: Subscription): Watch {
  return {
    source,
    subscription,
    unacknowledged: [],
    pending: new Set(),
    owed: false,
    sent: '',
    acknowledged: '',
    sentAtMs: 0,
    refusal: undefined,
  };
}
