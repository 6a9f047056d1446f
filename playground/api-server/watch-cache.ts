import { shareWith } from './json.ts';
import type { StoredObject } from './object.ts';

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** One change of one object. Invariant: `object.metadata.resourceVersion` is `version`. */
export interface Change {
  readonly version: number;
  readonly type: ChangeType;
  readonly key: string;
  /** As it is after the change; for DELETED, as it was last, with the version of its removal. */
  readonly object: StoredObject;
  /** As it was before; undefined for ADDED. */
  readonly before: StoredObject | undefined;
  readonly atMs: number;
}

/** All objects at one version, in the order of their keys. */
export interface Snapshot {
  readonly keys: readonly string[];
  get(key: string): StoredObject | undefined;
}

// A watcher that was away for longer lists again. Five minutes outlast a restart of any client, and
// 2,048 changes of a kind are several rounds over a thousand pods; the versions of one object share
// what has not changed, so that the history of a large cluster stays within a few MB.
const HISTORY_CHANGES_MAX = 2_048;
const HISTORY_AGE_MAX_MS = 5 * 60_000;
// Trimmed so many at a time, so that a change costs the same however long the history is.
const HISTORY_TRIM = 512;

/** The objects of one resource, what has lately happened to them, and who wants to hear of it. */
export class WatchCache {
  readonly #objects = new Map<string, StoredObject>();
  readonly #listeners = new Set<(change: Change) => void>();
  #history: Change[] = [];
  /** Changes up to this version have been forgotten. */
  #forgottenVersion: number;
  /** The keys in order; undefined after an object came or went. */
  #keys: readonly string[] | undefined;

  /** `version`: where the store's numbers start; nothing is known of what an earlier run did. */
  constructor(version: number) {
    this.#forgottenVersion = version;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  /** In the order in which they were created. */
  values(): IteratorObject<StoredObject> {
    return this.#objects.values();
  }

  /**
   * An object that holds what it has in common with the one that was written last only once with it:
   * what a controller makes of one template is mostly equal. The object itself is changed.
   */
  sharing(object: StoredObject): StoredObject {
    const last = this.#history.at(-1)?.object;
    return last === undefined ? object : shareWith(object, last);
  }

  apply(change: Change): void {
    if (change.type === 'DELETED') this.#objects.delete(change.key);
    else this.#objects.set(change.key, change.object);
    if (change.type !== 'MODIFIED') this.#keys = undefined;
    this.#history.push(change);
    this.#forget(change.atMs);
    // A copy: who starts to listen now has already seen this change.
    const listeners = [...this.#listeners];
    for (const listener of listeners) {
      if (this.#listeners.has(listener)) listener(change);
    }
  }

  listen(listener: (change: Change) => void): void {
    this.#listeners.add(listener);
  }

  unlisten(listener: (change: Change) => void): void {
    this.#listeners.delete(listener);
  }

  /** The oldest version from which all changes since are still known. */
  get oldestVersion(): number {
    return this.#forgottenVersion;
  }

  /** The changes after a version, oldest first; undefined when some have been forgotten. */
  since(version: number): readonly Change[] | undefined {
    if (version < this.#forgottenVersion) return undefined;
    return this.#history.slice(this.#firstAfter(version));
  }

  current(): Snapshot {
    this.#keys ??= [...this.#objects.keys()].toSorted(compareKeys);
    const keys = this.#keys;
    return { keys, get: (key) => this.#objects.get(key) };
  }

  /** All objects as they were at a version; undefined when changes since then have been forgotten. */
  asOf(version: number): Snapshot | undefined {
    const changes = this.since(version);
    if (changes === undefined) return undefined;
    if (changes.length === 0) return this.current();
    const objects = new Map(this.#objects);
    for (const change of changes.toReversed()) {
      if (change.before === undefined) objects.delete(change.key);
      else objects.set(change.key, change.before);
    }
    const keys = [...objects.keys()].toSorted(compareKeys);
    return { keys, get: (key) => objects.get(key) };
  }

  #firstAfter(version: number): number {
    let low = 0;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#history[middle]?.version ?? 0) > version) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #forget(nowMs: number): void {
    const oldest = this.#history[0];
    const tooMany = this.#history.length > HISTORY_CHANGES_MAX + HISTORY_TRIM;
    if (oldest === undefined || (!tooMany && nowMs - oldest.atMs < 2 * HISTORY_AGE_MAX_MS)) return;
    let drop = Math.max(0, this.#history.length - HISTORY_CHANGES_MAX);
    while ((this.#history[drop]?.atMs ?? nowMs) < nowMs - HISTORY_AGE_MAX_MS) drop += 1;
    this.#forgottenVersion = this.#history[drop - 1]?.version ?? this.#forgottenVersion;
    this.#history = this.#history.slice(drop);
  }
}

function compareKeys(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
