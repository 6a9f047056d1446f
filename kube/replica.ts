import { type KubeObject, namespacedName } from './resources.ts';

/** Told of each change, in order. `changed` always speaks of one object: another uid is another object. */
export interface InformerHandler<T extends KubeObject> {
  added(object: T): void;
  changed(object: T, before: T): void;
  removed(object: T): void;
}

export type Change<T extends KubeObject> =
  | { readonly kind: 'added' | 'removed'; readonly object: T }
  | { readonly kind: 'changed'; readonly object: T; readonly before: T };

interface Entry<T> {
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly object: T;
}

/**
 * What we know of the server's objects of one kind. Pure: takes what a list or a watch has brought and
 * answers how that differs from what was known, so that neither a repeated event nor a list after a
 * gap says anything twice or leaves anything out.
 */
export class Replica<T extends KubeObject> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #transform: (object: T) => T;

  constructor(transform: (object: T) => T = (object) => object) {
    this.#transform = transform;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.object;
  }

  list(): readonly T[] {
    return Array.from(this.#entries.values(), (entry) => entry.object);
  }

  /**
   * An ADDED or MODIFIED event; the two mean the same after a gap. Or the answer to a write of ours,
   * which a later event of the watch repeats.
   */
  put(raw: T): Change<T>[] {
    const known = this.#entries.get(namespacedName(raw.metadata));
    if (known !== undefined && !isNews(known, raw)) return [];
    return this.#keep(raw);
  }

  /** A DELETED event. Answers the last form, which the event carries, when we know the object. */
  remove(raw: T): Change<T>[] {
    const key = namespacedName(raw.metadata);
    if (!this.#entries.delete(key)) return [];
    return [{ kind: 'removed', object: this.#transform(raw) }];
  }

  /**
   * A whole list: what is not in it has been deleted while nobody watched, and what is older in it than
   * what we know is so because the server has been set back.
   */
  replace(raws: readonly T[]): Change<T>[] {
    const present = new Set(raws.map((raw) => namespacedName(raw.metadata)));
    const changes: Change<T>[] = [];
    for (const [key, { object }] of this.#entries) {
      if (present.has(key)) continue;
      this.#entries.delete(key);
      changes.push({ kind: 'removed', object });
    }
    for (const raw of raws) changes.push(...this.#keep(raw));
    return changes;
  }

  #keep(raw: T): Change<T>[] {
    const key = namespacedName(raw.metadata);
    const { uid, resourceVersion } = raw.metadata;
    const known = this.#entries.get(key);
    const sameObject = known !== undefined && known.uid === uid;
    if (sameObject && resourceVersion !== undefined && known.resourceVersion === resourceVersion) {
      return [];
    }
    const object = this.#transform(raw);
    this.#entries.set(key, { uid, resourceVersion, object });
    if (known === undefined) return [{ kind: 'added', object }];
    if (sameObject) return [{ kind: 'changed', object, before: known.object }];
    return [
      { kind: 'removed', object: known.object },
      { kind: 'added', object },
    ];
  }
}

/**
 * Whether `raw` may tell more than is known. Versions are numbers that grow, as far as they look like
 * it (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
 */
function isNews(known: Entry<unknown>, raw: KubeObject): boolean {
  const { uid, resourceVersion } = raw.metadata;
  if (known.uid !== uid) return true;
  return compareVersions(known.resourceVersion ?? '', resourceVersion ?? '') !== 'later';
}

/** How the first version stands to the second one; `unknown` when one is not a number. */
export function compareVersions(
  first: string,
  second: string,
): 'earlier' | 'same' | 'later' | 'unknown' {
  if (!/^[0-9]+$/.test(first) || !/^[0-9]+$/.test(second)) return 'unknown';
  const difference = BigInt(first) - BigInt(second);
  if (difference === 0n) return 'same';
  return difference < 0n ? 'earlier' : 'later';
}
