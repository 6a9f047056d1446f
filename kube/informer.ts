import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import { type Clock, systemClock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';

import type { KubeClient } from './client.ts';
import { isExpired, KubeError } from './errors.ts';
import type { Selection } from './paths.ts';
import { type Change, compareVersions, type InformerHandler, Replica } from './replica.ts';
import type { KubeObject, ResourceKind } from './resources.ts';
import { endsInitialEvents, type WatchEvent } from './watch.ts';

export interface InformerOptions<T extends KubeObject> extends Selection {
  /** Drops what nobody reads, before the object is kept. Must leave name, namespace and uid. */
  readonly transform?: (object: T) => T;
  /**
   * Ask for the objects as the first events of the watch instead of as a list; a server that does not
   * know how is asked for the list. Default false.
   */
  readonly streamInitialList?: boolean;
  readonly log?: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

// From 1 s to 30 s, spread by a fifth.
const RETRY: BackoffPlan = { firstMs: 1_250, maxMs: 25_000, spread: 0.2 };
// A watch that ends in less time than this, and without an event, was not worth having: wait.
const SHORT_WATCH_MS = 1_000;

/** Why an attempt is over. */
type Outcome =
  | { readonly kind: 'ended' }
  /** The server does not have the version any more: list again. */
  | { readonly kind: 'expired' }
  | { readonly kind: 'failed'; readonly error: unknown };

/**
 * Keeps a copy of the server's objects of one kind and tells of every change, whatever happens to the
 * connection: it goes on from the last version it has seen, lists again when the server no longer has
 * that version, and never gives up. Handlers run one after the other and must not change the objects.
 */
export class Informer<T extends KubeObject> implements Disposable {
  /** Settles when the first list has been told to the handlers; never, when stopped before. */
  readonly synced: Promise<void>;

  readonly #client: KubeClient;
  readonly kind: ResourceKind<T>;
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #replica: Replica<T>;
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #stopped = new AbortController();
  #started = false;
  #isSynced = false;
  #resolveSynced: () => void = () => undefined;
  /** Where to go on watching; undefined: list first. */
  #resourceVersion: string | undefined;
  /** In a row. An event from the server ends the row. */
  #failures = 0;
  #streamInitialList: boolean;

  constructor(client: KubeClient, kind: ResourceKind<T>, options: InformerOptions<T> = {}) {
    this.#client = client;
    this.kind = kind;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#replica = new Replica(options.transform);
    this.#streamInitialList = options.streamInitialList ?? false;
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** By `namespace/name`, or by name for what belongs to no namespace. */
  get(namespacedName: string): T | undefined {
    return this.#replica.get(namespacedName);
  }

  list(): readonly T[] {
    return this.#replica.list();
  }

  /** Adds a handler, telling it first of all that is there. The answer removes it again. */
  on(handler: InformerHandler<T>): () => void {
    for (const object of this.#replica.list()) this.#tell(handler, { kind: 'added', object });
    this.#handlers.add(handler);
    return () => {
      this.#handlers.delete(handler);
    };
  }

  /**
   * Takes the server's answer to a write of ours, so that the next decision already sees it; the watch
   * brings it again, later, and nothing is told twice. Ignored when the watch has been quicker: the
   * object may have changed or gone since.
   */
  observe(object: T): void {
    const version = object.metadata.resourceVersion ?? '';
    if (!this.#isSynced || this.#stopped.signal.aborted) return;
    if (compareVersions(version, this.#resourceVersion ?? '') !== 'later') return;
    this.#tellAll(this.#replica.put(object));
  }

  /** Begins; once. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#run();
  }

  /** Ends it for good. No handler is called any more. */
  stop(): void {
    this.#started = true;
    this.#stopped.abort();
    this.#handlers.clear();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const startedMs = this.#clock.now();
      const outcome = await this.#attempt();
      if (signal.aborted) return;
      await this.#pause(this.#delayMs(outcome, this.#clock.now() - startedMs));
    }
  }

  async #attempt(): Promise<Outcome> {
    try {
      if (this.#resourceVersion === undefined && !this.#streamInitialList) await this.#list();
      await this.#watch();
      return { kind: 'ended' };
    } catch (error) {
      if (this.#streamInitialList && this.#resourceVersion === undefined && isRefusal(error)) {
        this.#streamInitialList = false;
        return { kind: 'expired' };
      }
      if (mustRelist(error)) this.#resourceVersion = undefined;
      return isExpired(error) ? { kind: 'expired' } : { kind: 'failed', error };
    }
  }

  /** How long to wait before the next attempt. Counts the failures. */
  #delayMs(outcome: Outcome, livedMs: number): number {
    if (outcome.kind === 'ended' && livedMs >= SHORT_WATCH_MS) {
      this.#failures = 0;
      return 0;
    }
    this.#failures += 1;
    // A version expires once in a while; only when the new one does so at once, something is wrong.
    if (outcome.kind === 'expired' && this.#failures === 1) return 0;
    const delayMs = backoffMs(RETRY, this.#failures, this.#options.random ?? Math.random);
    this.#options.log?.warn('a watch ended early and is started again', {
      kind: this.kind.kind,
      why: outcome.kind === 'failed' ? messageOf(outcome.error) : outcome.kind,
      failures: this.#failures,
      delay_ms: Math.round(delayMs),
    });
    return delayMs;
  }

  #pause(delayMs: number): Promise<void> {
    if (delayMs === 0) return Promise.resolve();
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const done = (): void => {
        timer[Symbol.dispose]();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#clock.setTimer(delayMs, done);
      signal.addEventListener('abort', done);
    });
  }

  async #list(): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const list = await this.#client.list(this.kind, { namespace, labelSelector, fieldSelector });
    if (this.#stopped.signal.aborted) return;
    this.#replaceAll(list.items, list.resourceVersion);
  }

  async #watch(): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const { signal } = this.#stopped;
    // Told all at once at their end: until then it is not known what has been deleted.
    let initial: T[] | undefined = this.#resourceVersion === undefined ? [] : undefined;
    const events = this.#client.watch(this.kind, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#resourceVersion,
      sendInitialEvents: initial !== undefined,
      signal,
    });
    for await (const event of events) {
      if (signal.aborted) return;
      this.#failures = 0;
      if (initial === undefined) {
        this.#apply(event);
      } else if (endsInitialEvents(event)) {
        this.#replaceAll(initial, event.object.metadata.resourceVersion ?? '');
        initial = undefined;
      } else if (event.type === 'ADDED' || event.type === 'MODIFIED') {
        initial.push(event.object);
      }
    }
  }

  #replaceAll(objects: readonly T[], resourceVersion: string): void {
    this.#resourceVersion = resourceVersion;
    this.#tellAll(this.#replica.replace(objects));
    this.#isSynced = true;
    this.#resolveSynced();
  }

  #apply(event: WatchEvent<T>): void {
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        this.#tellAll(this.#replica.put(event.object));
        break;
      case 'DELETED':
        this.#tellAll(this.#replica.remove(event.object));
        break;
      case 'BOOKMARK':
        break;
    }
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
  }

  #tellAll(changes: readonly Change<T>[]): void {
    // One that is added meanwhile is told of what is there by on(), which includes these changes.
    const handlers = [...this.#handlers];
    for (const change of changes) {
      for (const handler of handlers) {
        if (this.#handlers.has(handler)) this.#tell(handler, change);
      }
    }
  }

  /** A handler that throws has a bug: it is reported, and the others are told all the same. */
  #tell(handler: InformerHandler<T>, change: Change<T>): void {
    try {
      if (change.kind === 'changed') handler.changed(change.object, change.before);
      else handler[change.kind](change.object);
    } catch (error) {
      const { log } = this.#options;
      if (log === undefined) throwLater(error);
      else {
        log.error('a handler failed', { kind: this.kind.kind, error: messageOf(error) });
      }
    }
  }
}

/** The server does not know what was asked for, as opposed to having trouble. */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && (error.code === 400 || error.code === 422);
}

/**
 * Whether what we know can no longer be built upon. After a lost connection and for a server under
 * load it can; any other answer than a watch may mean that the server is not the one it was.
 */
function mustRelist(error: unknown): boolean {
  return error instanceof KubeError && error.code !== 429 && error.code !== 503;
}

/** Ends the process, unless somebody listens: nobody awaits a handler. */
function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error instanceof Error ? error : new Error(String(error));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
