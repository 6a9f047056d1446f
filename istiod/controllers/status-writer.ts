import type { Clock } from '#common/clock.ts';
import type { LogFields } from '#common/log/format.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import { type KubeObject, namespacedName, type ResourceKind } from '#kube/resources.ts';

import type { Readable } from '../krt/core.ts';

const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const PARALLEL = 4;

export type StatusClient = Pick<KubeClient, 'get' | 'list' | 'patch'>;

export interface StatusWriterOptions<V> {
  readonly client: StatusClient;
  /** What is to be said, by what {@link StatedKind.prefix} and the object's `namespace/name` make together. */
  readonly verdicts: Readable<V>;
  readonly kinds: readonly StatedKind[];
  /** Whether somebody has written a status such as ours. */
  readonly isStated: (object: KubeObject) => boolean;
  /** What has to be written over the status, or undefined when it is as it should be. */
  readonly next: (
    object: KubeObject,
    verdict: V | undefined,
    nowMs: number,
  ) => Readonly<Record<string, unknown>> | undefined;
  /** How the log calls an object, by its key. */
  readonly logged: (key: string) => LogFields;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Objects that can have the status. */
export interface StatedKind {
  /** What their keys begin with; of several kinds, each has its own. */
  readonly prefix: string;
  readonly kind: ResourceKind;
}

/**
 * Writes a part of the status of objects, from a collection of verdicts about them; an object without a verdict
 * does not have that part. One control plane of several does this at a time.
 */
export class StatusWriter<V> implements Disposable {
  readonly #options: StatusWriterOptions<V>;
  readonly #queue: WorkQueue;
  readonly #subscription: Disposable;

  constructor(options: StatusWriterOptions<V>) {
    const { clock, log, logged, verdicts } = options;
    this.#options = options;
    this.#queue = new WorkQueue({
      clock,
      work: (key) => (key === SWEEP ? this.#sweep() : this.#reconcile(key)),
      backoff: RETRY,
      parallel: PARALLEL,
      onFailure: (key, error, failures, retryMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        const retry = Math.round(retryMs);
        log.warn('status not written', { ...logged(key), reason, failures, retry_ms: retry });
      },
    });
    this.#subscription = verdicts.subscribe((changes) => {
      for (const { key } of changes) this.#queue.add(key);
    });
    for (const key of verdicts.keys()) this.#queue.add(key);
    this.#queue.add(SWEEP);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#queue.stop();
  }

  /** What got a status from somebody before us and lost its verdict in between. */
  async #sweep(): Promise<void> {
    const { client, kinds, isStated } = this.#options;
    for (const { kind, prefix } of kinds) {
      const { items } = await client.list(kind).catch((error: unknown) => {
        // A kind that the cluster does not have has no objects.
        if (isNotFound(error)) return { items: [] };
        throw error;
      });
      for (const object of items) {
        if (isStated(object)) this.#queue.add(`${prefix}${namespacedName(object.metadata)}`);
      }
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { client, kinds, verdicts, next, clock } = this.#options;
    const found = kinds.find(({ prefix }) => key.startsWith(prefix));
    if (found === undefined) return;
    const { kind, prefix } = found;
    const [namespace = '', name = ''] = key.slice(prefix.length).split('/');
    try {
      const object: KubeObject = await client.get(kind, name, namespace);
      const status = next(object, verdicts.get(key), clock.now());
      if (status === undefined) return;
      // The version makes sure that what others have written meanwhile is not lost.
      const { resourceVersion } = object.metadata;
      const patch = { metadata: { resourceVersion }, status };
      await client.patch(kind, name, namespace, patch, { type: 'merge', subresource: 'status' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** No key of an object: it has no slash. */
const SWEEP = 'sweep';
