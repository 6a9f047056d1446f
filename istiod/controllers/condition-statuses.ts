import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import { type KubeObject, namespacedName, type ResourceKind } from '#kube/resources.ts';

import type { Readable } from '../krt/core.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import { conditionsOf, nextConditions } from './conditions.ts';

const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const PARALLEL = 4;

export interface ConditionStatusesOptions<V> {
  readonly client: Pick<KubeClient, 'get' | 'list' | 'patch'>;
  readonly type: string;
  /** What is to be said, by what {@link StatedKind.prefix} and the object's `namespace/name` make together. */
  readonly verdicts: Readable<V>;
  readonly kinds: readonly StatedKind[];
  readonly conditionOf: (verdict: V) => Omit<StatedCondition, 'type'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Objects that can have the condition. */
export interface StatedKind {
  /** What their keys begin with; of several kinds, each has its own. */
  readonly prefix: string;
  readonly kind: ResourceKind;
}

/**
 * Writes one type of condition into the status of objects, from a collection of verdicts about them; an object
 * without a verdict does not have the condition. One control plane of several does this at a time.
 */
export class ConditionStatuses<V> implements Disposable {
  readonly #options: ConditionStatusesOptions<V>;
  readonly #queue: WorkQueue;
  readonly #subscription: Disposable;

  constructor(options: ConditionStatusesOptions<V>) {
    const { clock, log, type, verdicts } = options;
    this.#options = options;
    this.#queue = new WorkQueue({
      clock,
      work: (key) => (key === SWEEP ? this.#sweep() : this.#reconcile(key)),
      backoff: RETRY,
      parallel: PARALLEL,
      onFailure: (object, error, failures, retryMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        const retry = Math.round(retryMs);
        log.warn('status not written', { type, object, reason, failures, retry_ms: retry });
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

  /** What got the condition from somebody before us and lost its verdict in between. */
  async #sweep(): Promise<void> {
    const { client, kinds, type } = this.#options;
    for (const { kind, prefix } of kinds) {
      const { items } = await client.list(kind).catch((error: unknown) => {
        // A kind that the cluster does not have has no objects.
        if (isNotFound(error)) return { items: [] };
        throw error;
      });
      for (const object of items) {
        if (conditionsOf(object).some((condition) => condition.type === type)) {
          this.#queue.add(`${prefix}${namespacedName(object.metadata)}`);
        }
      }
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { client, kinds, type, verdicts, conditionOf, clock } = this.#options;
    const found = kinds.find(({ prefix }) => key.startsWith(prefix));
    if (found === undefined) return;
    const { kind, prefix } = found;
    const [namespace = '', name = ''] = key.slice(prefix.length).split('/');
    let object: KubeObject;
    try {
      object = await client.get(kind, name, namespace);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    const verdict = verdicts.get(key);
    const stated = verdict === undefined ? undefined : conditionOf(verdict);
    const conditions = nextConditions(object, type, stated, clock.now());
    if (conditions === undefined) return;
    // The version makes sure that what others have written meanwhile is not lost.
    const { resourceVersion } = object.metadata;
    const patch = { metadata: { resourceVersion }, status: { conditions } };
    const how = { type: 'merge', subresource: 'status' } as const;
    try {
      await client.patch(kind, name, namespace, patch, how);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** No key of an object: it has no slash. */
const SWEEP = 'sweep';
