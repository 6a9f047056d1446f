import { randomBytes } from 'node:crypto';

import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import { EVENTS, type Event } from '#kube/resources.ts';

import { apiTime } from './api-time.ts';
import type { PodEvent } from './cluster-access.ts';

/** Events are for people: when the server does not keep up, the oldest are of no use any more. */
const QUEUE_MAX = 1_000;
/** Repetitions are counted in one event as long as it is remembered. */
const REMEMBERED_MAX = 4_096;

interface Known {
  readonly name: string;
  readonly namespace: string;
  count: number;
}

/** Writes events, one after the other; the same thing again only raises the count of the first. */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #nodeName: string;
  readonly #log: Logger;
  readonly #known = new Map<string, Known>();
  readonly #queue: { readonly event: PodEvent; readonly at: string }[] = [];
  #sending = false;

  constructor(client: KubeClient, nodeName: string, log: Logger) {
    this.#client = client;
    this.#nodeName = nodeName;
    this.#log = log;
  }

  record(event: PodEvent): void {
    if (this.#queue.length >= QUEUE_MAX) this.#queue.shift();
    this.#queue.push({ event, at: apiTime() });
    if (!this.#sending) void this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    this.#sending = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      try {
        await this.#send(next.event, next.at);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#log.warn('an event was lost', { reason: next.event.reason, why });
      }
    }
    this.#sending = false;
  }

  async #send(event: PodEvent, at: string): Promise<void> {
    const key = [event.pod.metadata.uid, event.container?.name, event.reason, event.message].join(
      '\n',
    );
    const known = this.#known.get(key);
    if (known !== undefined) {
      known.count += 1;
      const patch = { count: known.count, lastTimestamp: at };
      try {
        await this.#client.patch(EVENTS, known.name, known.namespace, patch, { type: 'merge' });
        return;
      } catch (error) {
        // Events are thrown away after a while: it starts again.
        if (!isNotFound(error)) throw error;
      }
    }
    const fresh = this.#newEvent(event, at);
    await this.#client.create(EVENTS, fresh);
    const { name, namespace = 'default' } = fresh.metadata;
    this.#known.set(key, { name, namespace, count: 1 });
    if (this.#known.size > REMEMBERED_MAX) {
      const [oldest] = this.#known.keys();
      this.#known.delete(oldest ?? '');
    }
  }

  #newEvent({ pod, type, reason, message, container }: PodEvent, at: string): Event {
    const { name, namespace = 'default', uid, resourceVersion } = pod.metadata;
    const list = container?.init === true ? 'initContainers' : 'containers';
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name}.${randomBytes(8).toString('hex')}`, namespace },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        name,
        namespace,
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(container === undefined ? {} : { fieldPath: `spec.${list}{${container.name}}` }),
      },
      type,
      reason,
      message,
      source: { component: 'kubelet', host: this.#nodeName },
      reportingComponent: 'kubelet',
      reportingInstance: this.#nodeName,
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
  }
}
