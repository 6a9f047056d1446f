import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import {
  CRDS,
  type CustomResourceDefinition,
  type KubeObject,
  type ResourceKind,
} from '#kube/resources.ts';

import type { Graph } from '../krt/graph.ts';
import type { StaticCollection } from '../krt/static.ts';
import { feed } from './from-informer.ts';
import { trimmed } from './trim.ts';

export interface CustomKindsOptions {
  readonly client: KubeClient;
  readonly graph: Graph;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Custom {
  readonly kind: ResourceKind;
  /** Watches from now on. */
  readonly open: () => Informer<KubeObject>;
  /** Nothing of the kind is left. */
  readonly clear: () => void;
  informer: Informer<KubeObject> | undefined;
}

/**
 * Watches kinds that a cluster may or may not have: each as long as its definition is there. A kind that
 * comes later is watched at once, not after some retry.
 */
export class CustomKinds implements Disposable {
  readonly #options: CustomKindsOptions;
  readonly #definitions: Informer<CustomResourceDefinition>;
  readonly #kinds = new Map<string, Custom>();

  constructor(options: CustomKindsOptions) {
    this.#options = options;
    const { client, clock, log } = options;
    this.#definitions = new Informer(client, CRDS, { clock, log, transform: withoutSchema });
    this.#definitions.on({
      added: (definition) => this.#look(definition),
      changed: (definition) => this.#look(definition),
      removed: ({ metadata }) => this.#close(metadata.name),
    });
  }

  /** Before `start()`. */
  add<O extends KubeObject, R>(
    kind: ResourceKind<O>,
    collection: StaticCollection<R>,
    recordOf: (object: O) => R | undefined,
  ): void {
    const { client, graph, clock, log } = this.#options;
    this.#kinds.set(`${kind.plural}.${kind.group}`, {
      kind,
      open: () => {
        const informer = new Informer<O>(client, kind, { clock, log, transform: trimmed });
        feed(graph, informer, collection, recordOf);
        return informer as unknown as Informer<KubeObject>;
      },
      clear: () => collection.replaceAll([]),
      informer: undefined,
    });
  }

  start(): void {
    this.#definitions.start();
  }

  /** When it is known which kinds there are, and all their objects. */
  async synced(): Promise<void> {
    await this.#definitions.synced;
    const open = [...this.#kinds.values()].flatMap(({ informer }) => informer ?? []);
    await Promise.all(open.map((informer) => informer.synced));
  }

  [Symbol.dispose](): void {
    this.#definitions.stop();
    for (const { informer } of this.#kinds.values()) informer?.stop();
  }

  #look(definition: CustomResourceDefinition): void {
    const custom = this.#kinds.get(definition.metadata.name);
    if (custom === undefined) return;
    const served = definition.spec.versions.some(
      ({ name, served: isServed }) => isServed && name === custom.kind.version,
    );
    // Until then, asking for objects of the kind is answered as asking for a kind that does not exist.
    const established = definition.status?.conditions?.some(
      ({ type, status }) => type === 'Established' && status === 'True',
    );
    if (!served) this.#close(definition.metadata.name);
    else if (established === true && custom.informer === undefined) {
      custom.informer = custom.open();
      custom.informer.start();
    }
  }

  #close(name: string): void {
    const custom = this.#kinds.get(name);
    if (custom?.informer === undefined) return;
    custom.informer.stop();
    custom.informer = undefined;
    // After what the informer has told already and the collection has yet to be told.
    queueMicrotask(custom.clear);
  }
}

/** Schemas are the largest part of a cluster's definitions. */
function withoutSchema(definition: CustomResourceDefinition): CustomResourceDefinition {
  const { spec } = definition;
  const versions = spec.versions.map(({ name, served, storage }) => ({ name, served, storage }));
  return { ...trimmed(definition), spec: { ...spec, versions } };
}
