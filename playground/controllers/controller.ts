import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isConflict, isNamespaceEnding } from '#kube/errors.ts';
import type { EventRecorder } from '#kube/event-recorder.ts';
import type { Informer } from '#kube/informer.ts';
import type { KubeObject } from '#kube/resources.ts';

import type { Watched } from './watched.ts';

/** What every controller works with. */
export interface ControllerContext {
  readonly client: KubeClient;
  /** All synced. */
  readonly watched: Watched;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Controller {
  stop(): void;
}

// The first retry comes soon: most failures are conflicts with another writer. The last ones are rare
// enough not to fill a log.
const BACKOFF = { firstMs: 20, maxMs: 10_000, spread: 0.2 };

/**
 * Brings what is there nearer to what is wanted, one key at a time: `reconcile` looks at what is true
 * now, whatever it was that made somebody add the key.
 */
export class Reconciler implements Controller {
  readonly #clock: Clock;
  readonly #queue: WorkQueue;
  readonly #timers = new Map<string, Disposable>();
  readonly #detach: (() => void)[] = [];

  constructor(
    context: ControllerContext,
    name: string,
    reconcile: (key: string) => Promise<void>,
    parallel = 4,
  ) {
    const log = context.log.scoped(`controllers::${name}`);
    this.#clock = context.clock;
    this.#queue = new WorkQueue({
      clock: context.clock,
      backoff: BACKOFF,
      parallel,
      work: reconcile,
      onFailure: (key, error, failures, retryMs) => {
        const fields = { key, failures, retry_ms: Math.round(retryMs), error: messageOf(error) };
        if (
          error instanceof NotYet ||
          (isConflict(error) && failures < 5) ||
          isNamespaceEnding(error)
        )
          log.debug('not yet done', fields);
        else log.warn('not yet done', fields);
      },
    });
  }

  add(key: string): void {
    this.#queue.add(key);
  }

  /** Also while the key is being worked on. Replaces an earlier call for the same key. */
  addAfter(key: string, delayMs: number): void {
    this.#timers.get(key)?.[Symbol.dispose]();
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#timers.delete(key);
      this.#queue.add(key);
    });
    this.#timers.set(key, timer);
  }

  /**
   * Adds the keys that `keysOf` names for each object that is there, changes or goes. Of a change, both
   * forms are asked for, each with the other one.
   */
  follow<T extends KubeObject>(
    informer: Informer<T>,
    keysOf: (object: T, other?: T) => Iterable<string>,
  ): void {
    const add = (object: T, other?: T): void => {
      for (const key of keysOf(object, other)) this.add(key);
    };
    const changed = (object: T, before: T): void => {
      add(object, before);
      add(before, object);
    };
    this.#detach.push(informer.on({ added: add, changed, removed: add }));
  }

  stop(): void {
    for (const detach of this.#detach) detach();
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#queue.stop();
  }
}

/** Something that is left to do, and that another change will allow: not worth a warning. */
export class NotYet extends Error {
  override readonly name = 'NotYet';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
