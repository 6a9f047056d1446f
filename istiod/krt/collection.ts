import { invariant } from '#common/assert.ts';

import type { Change, ChangeHandler, Filter, Index, ItemOptions, Readable } from './core.ts';
import { type Computation, Readers, type Reading } from './dependencies.ts';
import { structurallyEqual } from './equal.ts';
import type { Graph, Member } from './graph.ts';
import { inKeyOrder, Lookup } from './lookup.ts';

/**
 * What all collections share: items by key, the net changes of the open transaction, indexes, readers,
 * and subscribers. Where the items come from is the subclass's affair.
 */
export abstract class Collection<T> implements Readable<T>, Member {
  readonly name: string;
  protected readonly graph: Graph;
  protected readonly keyOf: (item: T) => string;
  readonly #equal: (one: T, other: T) => boolean;
  readonly #items = new Map<string, T>();
  /** Key → what was there before the open transaction. */
  readonly #befores = new Map<string, T | undefined>();
  readonly #readers = new Readers<T>();
  readonly #lookups = new Set<Lookup<T>>();
  /** Collections that are made of this one's items, one by one. */
  readonly #followers = new Set<ChangeHandler<T>>();
  readonly #subscribers = new Set<ChangeHandler<T>>();
  #changes: readonly Change<T>[] = [];

  constructor(graph: Graph, name: string, options: ItemOptions<T>) {
    this.graph = graph;
    this.name = name;
    this.keyOf = options.keyOf;
    this.#equal = options.equal ?? structurallyEqual;
    graph.enlist(this);
  }

  abstract readonly isSynced: boolean;

  get size(): number {
    return this.#items.size;
  }

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#items.keys();
  }

  values(): IterableIterator<T> {
    return this.#items.values();
  }

  subscribe(handler: ChangeHandler<T>): Disposable {
    return enter(this.#subscribers, handler);
  }

  indexBy(name: string, valuesOf: (item: T) => readonly string[]): Index<T> {
    const lookup = new Lookup(name, valuesOf);
    // What the open transaction did reaches the index when the collection settles.
    for (const [key, item] of this.#items) {
      const before = this.#befores.has(key) ? this.#befores.get(key) : item;
      lookup.apply({ key, before: undefined, after: before });
    }
    for (const [key, before] of this.#befores) {
      if (!this.#items.has(key)) lookup.apply({ key, before: undefined, after: before });
    }
    this.#lookups.add(lookup);
    return lookup;
  }

  /** For collections made of this one: they hear of changes before the transaction ends. */
  follow(handler: ChangeHandler<T>): void {
    this.#followers.add(handler);
  }

  /** For `Fetch`: an item, remembering who asked. */
  readKey(key: string, computation: Computation): { item: T | undefined; reading: Reading } {
    return { item: this.#items.get(key), reading: this.#readers.readKey(key, computation) };
  }

  /** For `Fetch`: some items, remembering who asked for which. */
  read(filter: Filter<T>, computation: Computation): { items: readonly T[]; reading: Reading } {
    return {
      items: inKeyOrder(this.#matching(filter)),
      reading: this.#readers.read(filter, computation),
    };
  }

  /** For dumps. */
  describe(): { readonly readings: number; readonly indexes: readonly string[] } {
    return { readings: this.#readers.count, indexes: [...this.#lookups].map(({ name }) => name) };
  }

  /** For the graph. */
  settle(): void {
    this.compute();
    const changes = this.#netChanges();
    if (changes.length === 0) return;
    for (const lookup of this.#lookups) for (const change of changes) lookup.apply(change);
    for (const follower of this.#followers) follower(changes);
    this.#readers.notify(changes);
    this.#changes = changes;
    this.graph.announce(this);
  }

  /** For the graph. */
  publish(): void {
    const changes = this.#changes;
    this.#changes = [];
    for (const subscriber of this.#subscribers) subscriber(changes);
  }

  /** Brings the items up to date, with {@link put}. */
  protected abstract compute(): void;

  /** Sets or (undefined) removes an item. One that is equal changes nothing. */
  protected put(key: string, after: T | undefined): void {
    const before = this.#items.get(key);
    if (this.#same(before, after)) return;
    if (!this.#befores.has(key)) this.#befores.set(key, before);
    if (after === undefined) this.#items.delete(key);
    else this.#items.set(key, after);
  }

  #netChanges(): readonly Change<T>[] {
    const changes: Change<T>[] = [];
    for (const [key, before] of this.#befores) {
      const after = this.#items.get(key);
      if (!this.#same(before, after)) changes.push({ key, before, after });
    }
    this.#befores.clear();
    return changes;
  }

  #same(one: T | undefined, other: T | undefined): boolean {
    if (one === undefined || other === undefined) return one === other;
    return one === other || this.#equal(one, other);
  }

  *#matching({ within, where }: Filter<T>): Iterable<readonly [string, T]> {
    let entries: Iterable<readonly [string, T]> = this.#items;
    if (within !== undefined) {
      invariant(
        within.index instanceof Lookup && this.#lookups.has(within.index),
        `the index "${within.index.name}" is one of the collection "${this.name}"`,
      );
      entries = (within.index as Lookup<T>).entries(within.value);
    }
    for (const entry of entries) if (where === undefined || where(entry[1])) yield entry;
  }
}

function enter<H>(handlers: Set<H>, handler: H): Disposable {
  invariant(!handlers.has(handler), 'a handler subscribes once');
  handlers.add(handler);
  return {
    [Symbol.dispose]: () => {
      handlers.delete(handler);
    },
  };
}
