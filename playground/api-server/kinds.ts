import { invariant } from '#common/assert.ts';

import type { JsonSchema } from './schema/json-schema.ts';

/** A column of a kind's table, as a CustomResourceDefinition writes it. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  /** 0 is always shown, more only in wide output. */
  readonly priority?: number;
  readonly jsonPath: string;
}

/** Where the scale subresource finds its numbers, as JSON paths (".spec.replicas"). */
export interface ScalePaths {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string;
}

/** One version of one resource that the API server answers for. */
export interface ServedKind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** "status", "scale", "log" …; only those that the store or the server answers. */
  readonly subresources: readonly string[];
  /** Whether objects are kept in this version: true for one of a resource's versions. */
  readonly storage: boolean;
  /** Which objects these are: equal for all versions (and groups) that show the same objects. */
  readonly storageKey: string;
  /** Whether a CustomResourceDefinition brought it. */
  readonly custom: boolean;
  /** Its definition is being deleted: nothing new can be created. */
  readonly terminating?: boolean;
  readonly schema?: JsonSchema;
  readonly printerColumns?: readonly PrinterColumn[];
  readonly scale?: ScalePaths;
  /** Fields that field selectors may name, besides metadata.name and metadata.namespace. */
  readonly selectableFields?: readonly string[];
}

/** The kinds that are served now: the built-in ones, and those of CustomResourceDefinitions. */
export class KindRegistry {
  readonly #byResource = new Map<string, ServedKind>();
  readonly #byKind = new Map<string, ServedKind>();
  readonly #stored = new Map<string, ServedKind>();
  #generation = 0;

  constructor(builtin: readonly ServedKind[]) {
    for (const kind of builtin) this.#insert(kind);
  }

  /** Counts the changes, so that discovery and OpenAPI documents know when they are stale. */
  get generation(): number {
    return this.#generation;
  }

  find(group: string, version: string, plural: string): ServedKind | undefined {
    return this.#byResource.get(`${group}/${version}/${plural}`);
  }

  findKind(apiVersion: string, kind: string): ServedKind | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }

  all(): readonly ServedKind[] {
    return [...this.#byResource.values()];
  }

  /** The version that the objects of this kind are kept in. */
  storedAs(kind: ServedKind): ServedKind {
    const stored = this.#stored.get(kind.storageKey);
    invariant(stored !== undefined, `no version of ${kind.storageKey} is the stored one`);
    return stored;
  }

  /** Replaces all versions of one custom resource; an empty list takes it away. */
  setCustom(group: string, plural: string, versions: readonly ServedKind[]): void {
    for (const kind of this.all()) {
      if (!kind.custom || kind.group !== group || kind.plural !== plural) continue;
      this.#byResource.delete(`${kind.group}/${kind.version}/${kind.plural}`);
      this.#byKind.delete(`${kind.group}/${kind.version}/${kind.kind}`);
      this.#stored.delete(kind.storageKey);
    }
    for (const kind of versions) this.#insert(kind);
    this.#generation += 1;
  }

  #insert(kind: ServedKind): void {
    const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
    this.#byResource.set(`${kind.group}/${kind.version}/${kind.plural}`, kind);
    this.#byKind.set(`${apiVersion}/${kind.kind}`, kind);
    if (kind.storage) this.#stored.set(kind.storageKey, kind);
  }
}
