import { CLEANUP_FINALIZER, customKinds, storageKeyOf } from './crd-kinds.ts';
import {
  type DefinitionState,
  definitionStatus,
  isEstablished,
  nameConflictOf,
} from './crd-status.ts';
import { deepCopy, deepEqual } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { StoredObject } from './object.ts';
import type { Store, WriteOptions } from './store.ts';

const asServer: WriteOptions = {
  user: 'system:apiserver',
  dryRun: false,
  fieldManager: 'kube-apiserver',
  fieldValidation: 'Ignore',
  warn: () => undefined,
};

/** Has the kinds of a store's CustomResourceDefinitions served, from the first one on. */
export function serveCustomResources(store: Store, now: () => number): void {
  new CustomResources(store, now).start();
}

/**
 * Has the kinds of CustomResourceDefinitions served from the moment that a definition is stored, says
 * in its status how that went, and takes a kind away with its objects when its definition is deleted.
 */
class CustomResources {
  readonly #store: Store;
  readonly #definitions: ServedKind;
  readonly #now: () => number;
  readonly #waiting = new Set<string>();
  /** Kinds of whose objects we are told already. */
  readonly #observed = new Set<string>();

  constructor(store: Store, now: () => number) {
    const kind = store.registry.find('apiextensions.k8s.io', 'v1', 'customresourcedefinitions');
    if (kind === undefined) throw new Error('CustomResourceDefinitions are not served');
    this.#store = store;
    this.#definitions = kind;
    this.#now = now;
  }

  start(): void {
    this.#store.observe(this.#definitions, ({ type, object }) => {
      if (type === 'DELETED') this.#withdraw(object);
      else this.#schedule(object.metadata.name);
    });
  }

  /** Later in this turn: a change is told to all watchers before another one is made. */
  #schedule(name: string): void {
    if (this.#waiting.has(name)) return;
    this.#waiting.add(name);
    queueMicrotask(() => {
      this.#waiting.delete(name);
      this.#reconcile(name);
    });
  }

  #reconcile(name: string): void {
    const definition = this.#find(name);
    if (definition === undefined) return;
    const nameConflict = nameConflictOf(definition, this.#othersThan(definition));
    const isServed = nameConflict === undefined || isEstablished(definition);
    if (isServed) this.#serve(definition);
    const isEnding = definition.metadata.deletionTimestamp !== undefined;
    const remaining = isEnding && isServed ? this.#empty(definition) : 0;
    if (isEnding && remaining === 0) this.#release(name);
    else this.#report(name, { nameConflict, remaining });
  }

  #find(name: string): StoredObject | undefined {
    const { items } = this.#store.list(this.#definitions, {
      fieldSelector: `metadata.name=${name}`,
    });
    return items[0];
  }

  #othersThan(definition: StoredObject): readonly ServedKind[] {
    const key = storageKeyOf(definition);
    return this.#store.registry.all().filter((kind) => !kind.custom || kind.storageKey !== key);
  }

  #serve(definition: StoredObject): void {
    const kinds = customKinds(definition);
    const [first] = kinds;
    const { registry } = this.#store;
    const key = storageKeyOf(definition);
    const served = registry.all().filter(({ custom, storageKey }) => custom && storageKey === key);
    if (deepEqual(served, kinds)) return;
    const { group, plural } = first ?? served[0] ?? { group: '', plural: '' };
    registry.setCustom(group, plural, kinds);
  }

  /** Deletes all objects. Answers how many are still there. */
  #empty(definition: StoredObject): number {
    const [kind] = customKinds(definition);
    if (kind === undefined) return 0;
    this.#observe(kind, definition.metadata.name);
    this.#store.deleteCollection(kind, {}, { propagationPolicy: 'Background' });
    return this.#store.list(kind).items.length;
  }

  #observe(kind: ServedKind, name: string): void {
    if (this.#observed.has(kind.storageKey)) return;
    this.#observed.add(kind.storageKey);
    this.#store.observe(kind, ({ type }) => {
      if (type === 'DELETED') this.#schedule(name);
    });
  }

  #release(name: string): void {
    const definition = this.#find(name);
    const finalizers = definition?.metadata.finalizers ?? [];
    if (definition === undefined || !finalizers.includes(CLEANUP_FINALIZER)) return;
    const object = deepCopy(definition);
    object.metadata.finalizers = finalizers.filter((each) => each !== CLEANUP_FINALIZER);
    this.#write(object, {});
  }

  #report(name: string, state: DefinitionState): void {
    const definition = this.#find(name);
    if (definition === undefined) return;
    const status = definitionStatus(definition, state, this.#now());
    if (deepEqual(status, definition['status'])) return;
    this.#write({ ...deepCopy(definition), status }, { subresource: 'status' });
  }

  #write(object: StoredObject, options: { readonly subresource?: string }): void {
    const { name } = object.metadata;
    this.#store.update(this.#definitions, { name }, object, { ...asServer, ...options });
  }

  #withdraw(definition: StoredObject): void {
    const key = storageKeyOf(definition);
    const { registry } = this.#store;
    const kind = registry.all().find(({ custom, storageKey }) => custom && storageKey === key);
    if (kind === undefined) return;
    registry.setCustom(kind.group, kind.plural, []);
    // Another definition may have waited for the names.
    for (const other of this.#store.list(this.#definitions).items) {
      if (other.metadata.name !== key) this.#schedule(other.metadata.name);
    }
  }
}
