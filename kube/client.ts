import { type Clock, systemClock } from '#common/clock.ts';

import { isExpired } from './errors.ts';
import { type PatchOptions, patchContentType } from './patch.ts';
import { collectionPath, creationPath, objectPath, query, type Selection } from './paths.ts';
import { apiVersionOf, type KubeObject, type ResourceKind } from './resources.ts';
import { type KubeCredentials, Transport } from './transport.ts';
import { readWatch, type WatchEvent } from './watch.ts';

export interface ListOptions extends Selection {
  /** Objects per answer; the list is still complete. Default 500. */
  readonly limit?: number;
}

export interface ObjectList<T> {
  readonly items: T[];
  /** Where a watch has to start so that it misses nothing. */
  readonly resourceVersion: string;
}

export interface WriteOptions {
  /** Check everything, store nothing. */
  readonly dryRun?: boolean;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  /** Delete only the object that has this uid. */
  readonly uid?: string;
}

export interface WatchOptions extends Selection {
  /** The version that is known; undefined: whatever the server has now, as ADDED events. */
  readonly resourceVersion?: string | undefined;
  /** First every object as ADDED, then a bookmark (see endsInitialEvents()), then the changes. */
  readonly sendInitialEvents?: boolean;
  /** When the server is to end the watch. Default: 5 to 10 minutes, at random. */
  readonly timeoutSeconds?: number;
  readonly signal: AbortSignal;
}

export interface KubeClientOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
}

const PAGE_SIZE = 500;
// As long as other clients watch: short enough that the watches of many spread over servers again
// after one was away, long enough not to count.
const WATCH_SECONDS_MIN = 300;
// A server that was to end a watch and has not done so in this time is gone.
const WATCH_MARGIN_MS = 30_000;
/** A list that keeps expiring while it is read page by page is asked for in one piece. */
const PAGED_LIST_ATTEMPTS = 2;

interface RawList<T> {
  readonly items?: readonly T[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

/**
 * A client of one API server. Every method throws KubeError when the server says no, and
 * KubeConnectionError when it does not answer.
 */
export class KubeClient {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #random: () => number;

  constructor(server: KubeCredentials | Transport, options: KubeClientOptions = {}) {
    this.#transport = server instanceof Transport ? server : new Transport(server);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  /** The same connections, closed with this one, under another name: objects say who has written what of them. */
  as(userAgent: string): KubeClient {
    return new KubeClient(this.#transport.as(userAgent), {
      clock: this.#clock,
      random: this.#random,
    });
  }

  get<T extends KubeObject>(kind: ResourceKind<T>, name: string, namespace?: string): Promise<T> {
    return this.request<T>('GET', objectPath(kind, name, namespace));
  }

  /** Reads a list to its end, page by page, all of one version. */
  async list<T extends KubeObject>(
    kind: ResourceKind<T>,
    options: ListOptions = {},
  ): Promise<ObjectList<T>> {
    for (let attempt = 1; ; attempt += 1) {
      const limit = attempt > PAGED_LIST_ATTEMPTS ? undefined : (options.limit ?? PAGE_SIZE);
      const list = await this.#pages(kind, { ...options, limit });
      if (list !== 'expired') return list;
    }
  }

  create<T extends KubeObject>(
    kind: ResourceKind<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    return this.request<T>('POST', `${creationPath(kind, object)}${dryRunQuery(options)}`, object);
  }

  /** Puts the whole object in place; a `resourceVersion` in it must be the present one. */
  replace<T extends KubeObject>(
    kind: ResourceKind<T>,
    object: T,
    subresource?: 'status',
  ): Promise<T> {
    const { name, namespace } = object.metadata;
    return this.request<T>('PUT', objectPath(kind, name, namespace, subresource), object);
  }

  async patch<T extends KubeObject>(
    kind: ResourceKind<T>,
    name: string,
    namespace: string | undefined,
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    const { type, subresource, fieldManager, force } = options;
    const path = objectPath(kind, name, namespace, subresource);
    const answer = await this.#transport.exchange({
      method: 'PATCH',
      path: `${path}${query({ fieldManager, force })}`,
      body: patch,
      contentType: patchContentType(type),
    });
    return answer as T;
  }

  async delete(
    kind: ResourceKind,
    name: string,
    namespace?: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const { uid, ...rest } = options;
    await this.request('DELETE', objectPath(kind, name, namespace), {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...rest,
      ...(uid === undefined ? {} : { preconditions: { uid } }),
    });
  }

  /** A subresource that is an action: a token, an eviction, a binding. */
  post<T>(
    kind: ResourceKind,
    name: string,
    namespace: string | undefined,
    subresource: 'token' | 'eviction' | 'binding',
    body: unknown,
  ): Promise<T> {
    return this.request<T>('POST', objectPath(kind, name, namespace, subresource), body);
  }

  /** Anything else, by path and query. The answer's type is the caller's claim. */
  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.#transport.exchange({ method, path, body })) as T;
  }

  /** What is not JSON, such as logs, as it comes. */
  text(path: string): Promise<string> {
    return this.#transport.exchangeText({ method: 'GET', path });
  }

  /**
   * The changes from a version on. Ends when the server ends it (it always does, after some minutes)
   * or `signal` aborts; throws when it fails. An Informer starts it again and misses nothing.
   */
  async *watch<T extends KubeObject>(
    kind: ResourceKind<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, signal } = options;
    const timeoutSeconds =
      options.timeoutSeconds ?? Math.round(WATCH_SECONDS_MIN * (1 + this.#random()));
    const initial = options.sendInitialEvents
      ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' }
      : {};
    const path = `${collectionPath(kind, namespace)}${query({
      watch: 1,
      allowWatchBookmarks: true,
      labelSelector,
      fieldSelector,
      resourceVersion,
      timeoutSeconds,
      ...initial,
    })}`;
    if (signal.aborted) return;
    const answer = await this.#transport.open({ method: 'GET', path, signal });
    const silenceMs = timeoutSeconds * 1000 + WATCH_MARGIN_MS;
    yield* readWatch<T>(answer, { silenceMs, clock: this.#clock, signal });
  }

  /** Ends every connection. What is on its way fails. */
  close(): void {
    this.#transport.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** `expired`: the server has given up the version while we read its pages. */
  async #pages<T extends KubeObject>(
    kind: ResourceKind<T>,
    options: Selection & { readonly limit: number | undefined },
  ): Promise<ObjectList<T> | 'expired'> {
    const { namespace, labelSelector, fieldSelector, limit } = options;
    const path = collectionPath(kind, namespace);
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const page = await this.#page<T>(
        `${path}${query({ labelSelector, fieldSelector, limit, continue: next })}`,
        next !== undefined,
      );
      if (page === 'expired') return page;
      for (const item of page.items ?? []) items.push(withType(kind, item));
      next = page.metadata?.continue;
      if (next === undefined || next === '') {
        return { items, resourceVersion: page.metadata?.resourceVersion ?? '' };
      }
    }
  }

  async #page<T>(path: string, continued: boolean): Promise<RawList<T> | 'expired'> {
    try {
      return await this.request<RawList<T>>('GET', path);
    } catch (error) {
      if (continued && isExpired(error)) return 'expired';
      throw error;
    }
  }
}

/** The items of a list of a built-in kind come without the two fields that say what they are. */
function withType<T extends KubeObject>(kind: ResourceKind<T>, item: T): T {
  const untyped: Partial<KubeObject> = item;
  if (untyped.kind !== undefined && untyped.apiVersion !== undefined) return item;
  return { ...item, apiVersion: apiVersionOf(kind), kind: kind.kind };
}

function dryRunQuery(options: WriteOptions): string {
  return options.dryRun === true ? query({ dryRun: 'All' }) : '';
}
