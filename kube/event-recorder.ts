import { randomInt } from 'node:crypto';

import { type Clock, systemClock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';

import type { KubeClient } from './client.ts';
import { isNamespaceEnding, isNotFound } from './errors.ts';
import { EVENTS, type Event, type KubeObject } from './resources.ts';

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  /** One word in upper camel case, for programs. */
  readonly reason: string;
  readonly message: string;
}

/** Who reports. */
export interface EventSource {
  readonly component: string;
  /** The node, where it matters which. */
  readonly host?: string;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly source: EventSource;
  readonly log: Logger;
  readonly clock?: Clock;
}

interface Report {
  readonly about: KubeObject;
  readonly text: EventText;
  /** The part of the object, as `spec.containers{main}`. */
  readonly fieldPath: string | undefined;
  readonly at: string;
  /** Later ones have greater numbers: nanoseconds since 1970, of which the clock knows all but the last six digits. */
  readonly order: bigint;
}

interface Known {
  readonly name: string;
  readonly namespace: string;
  count: number;
}

/** Events are for people: when the server does not keep up, the oldest are of no use any more. */
const QUEUE_MAX = 1_000;
/** Repetitions are counted in one event as long as it is remembered. */
const REMEMBERED_MAX = 4_096;
/** A thousand events fit into one millisecond of the clock. */
const ORDER_STEP = 1_000;

/**
 * Writes events about objects, one after the other; the same thing again only raises the count of the first. What cannot
 * be written is logged and let go.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #known = new Map<string, Known>();
  readonly #queue: Report[] = [];
  #isSending = false;
  #lastOrder = 0n;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(about: KubeObject, text: EventText, fieldPath?: string): void {
    if (this.#queue.length >= QUEUE_MAX) this.#queue.shift();
    const nowMs = (this.#options.clock ?? systemClock).now();
    const at = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
    this.#queue.push({ about, text, fieldPath, at, order: this.#nextOrder(nowMs) });
    if (!this.#isSending) void this.#sendAll();
  }

  /** Two recorders may report about one object at the same time: the last digits are nobody's. */
  #nextOrder(nowMs: number): bigint {
    const own = BigInt(randomInt(ORDER_STEP));
    const now = BigInt(Math.floor(nowMs)) * 1_000_000n + own;
    const least = this.#lastOrder + BigInt(ORDER_STEP) + own;
    this.#lastOrder = now > least ? now : least;
    return this.#lastOrder;
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      try {
        await this.#send(next);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        const fields = { reason: next.text.reason, about: next.about.metadata.name, why };
        const { log } = this.#options;
        if (isNamespaceEnding(error) || isNotFound(error)) log.debug('an event was lost', fields);
        else log.warn('an event was lost', fields);
      }
    }
    this.#isSending = false;
  }

  async #send(report: Report): Promise<void> {
    const { client, source } = this.#options;
    const { about, text, fieldPath, at } = report;
    const key = [about.metadata.uid, fieldPath, text.type, text.reason, text.message].join('\n');
    const known = this.#known.get(key);
    if (known !== undefined) {
      known.count += 1;
      const patch = { count: known.count, lastTimestamp: at };
      try {
        await client.patch(EVENTS, known.name, known.namespace, patch, { type: 'merge' });
        return;
      } catch (error) {
        // Events do not live for ever: it starts again.
        if (!isNotFound(error)) throw error;
      }
    }
    const event = eventOf(report, source);
    await client.create(EVENTS, event);
    const { name, namespace = 'default' } = event.metadata;
    this.#known.delete(key);
    this.#known.set(key, { name, namespace, count: 1 });
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED_MAX && oldest !== undefined) this.#known.delete(oldest);
  }
}

function eventOf({ about, text, fieldPath, at, order }: Report, source: EventSource): Event {
  const { name, namespace, uid, resourceVersion } = about.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      // Lists are sorted by name: what happens in one second is told in its order.
      name: `${name}.${order.toString(16)}`,
      // Of what belongs to no namespace, where others look for it.
      namespace: namespace ?? 'default',
    },
    involvedObject: {
      apiVersion: about.apiVersion,
      kind: about.kind,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(fieldPath === undefined ? {} : { fieldPath }),
    },
    ...text,
    source,
    reportingComponent: source.component,
    ...(source.host === undefined ? {} : { reportingInstance: source.host }),
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
}
