import type { BoundObjects } from './authentication.ts';
import { ApiError } from './errors.ts';
import type { StoredObject } from './object.ts';
import type { Store } from './store.ts';

const PLURALS = {
  ServiceAccount: 'serviceaccounts',
  Pod: 'pods',
  Secret: 'secrets',
  Node: 'nodes',
} as const;

/** The objects that tokens are bound to, looked up in a store. */
export class StoredBoundObjects implements BoundObjects {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  uidOf(kind: keyof typeof PLURALS, namespace: string, name: string): string | undefined {
    return this.find(kind, namespace, name)?.metadata.uid;
  }

  podDeletionMs(namespace: string, name: string): number | undefined {
    const time = this.find('Pod', namespace, name)?.metadata.deletionTimestamp;
    return time === undefined ? undefined : Date.parse(time);
  }

  find(kind: keyof typeof PLURALS, namespace: string, name: string): StoredObject | undefined {
    const served = this.#store.registry.find('', 'v1', PLURALS[kind]);
    if (served === undefined) return undefined;
    try {
      return this.#store.get(served, {
        namespace: served.namespaced ? namespace : undefined,
        name,
      });
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined;
      throw error;
    }
  }
}
