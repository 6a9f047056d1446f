import { randomBytes } from 'node:crypto';

import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import { EVENTS, type Event, type KubeObject } from '#kube/resources.ts';

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  /** One word in upper camel case, for programs. */
  readonly reason: string;
  readonly message: string;
}

// An event that keeps happening counts up one object instead of making new ones; so many are remembered.
const REMEMBERED_MAX = 500;

/** Writes events about objects, as one component. What cannot be written is logged and let go. */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #component: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #recent = new Map<string, Event>();

  constructor(client: KubeClient, component: string, clock: Clock, log: Logger) {
    this.#client = client;
    this.#component = component;
    this.#clock = clock;
    this.#log = log;
  }

  /** The same memory under another component's name. */
  as(component: string): EventRecorder {
    return new EventRecorder(this.#client, component, this.#clock, this.#log);
  }

  record(about: KubeObject, text: EventText): void {
    void this.#write(about, text).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      this.#log.debug('cannot write an event', { reason: text.reason, error: message });
    });
  }

  async #write(about: KubeObject, text: EventText): Promise<void> {
    const key = [about.metadata.uid, text.type, text.reason, text.message].join('\n');
    const known = this.#recent.get(key);
    const now = new Date(this.#clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    if (known !== undefined) {
      const counted = { ...known, count: (known.count ?? 1) + 1, lastTimestamp: now };
      this.#remember(key, counted);
      const { name, namespace } = known.metadata;
      const patch = { count: counted.count, lastTimestamp: now };
      try {
        await this.#client.patch(EVENTS, name, namespace, patch, { type: 'merge' });
        return;
      } catch (error) {
        // Events do not live for ever.
        if (!isNotFound(error)) throw error;
      }
    }
    const event = eventAbout(about, text, this.#component, now);
    this.#remember(key, event);
    await this.#client.create(EVENTS, event);
  }

  #remember(key: string, event: Event): void {
    this.#recent.delete(key);
    this.#recent.set(key, event);
    const oldest = this.#recent.keys().next().value;
    if (this.#recent.size > REMEMBERED_MAX && oldest !== undefined) this.#recent.delete(oldest);
  }
}

function eventAbout(about: KubeObject, text: EventText, component: string, now: string): Event {
  const { name, namespace = 'default', uid, resourceVersion } = about.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${randomBytes(8).toString('hex')}`, namespace },
    involvedObject: {
      apiVersion: about.apiVersion,
      kind: about.kind,
      name,
      ...(about.metadata.namespace === undefined ? {} : { namespace: about.metadata.namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    ...text,
    source: { component },
    reportingComponent: component,
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
  };
}
