import type { Change, Filter, Index } from './core.ts';

/** One item's transformation: what has to run again when something that it read has changed. */
export interface Computation {
  /** Already due: nobody has to look whether it must be. */
  readonly isDue: boolean;
  makeDue(): void;
}

/** Something that a computation read of one collection. */
export interface Reading {
  /** Forgets it. */
  retract(): void;
}

type Where<T> = ((item: T) => boolean) | undefined;

interface Watcher<T> {
  readonly computation: Computation;
  readonly where: Where<T>;
}

/**
 * Who read what of one collection, precisely enough that a change makes due only those whose answer may
 * be another now.
 */
export class Readers<T> {
  readonly #ofKey = new Map<string, Set<Watcher<T>>>();
  readonly #ofSlice = new Map<Index<T>, Map<string, Set<Watcher<T>>>>();
  readonly #ofAll = new Set<Watcher<T>>();
  #count = 0;

  /** How many readings are remembered. */
  get count(): number {
    return this.#count;
  }

  readKey(key: string, computation: Computation): Reading {
    return this.#enter(this.#ofKey, key, { computation, where: undefined });
  }

  read(filter: Filter<T>, computation: Computation): Reading {
    const watcher: Watcher<T> = { computation, where: filter.where };
    if (filter.within === undefined) {
      this.#ofAll.add(watcher);
      this.#count++;
      return {
        retract: () => {
          if (this.#ofAll.delete(watcher)) this.#count--;
        },
      };
    }
    const { index, value } = filter.within;
    let slices = this.#ofSlice.get(index);
    if (slices === undefined) this.#ofSlice.set(index, (slices = new Map()));
    return this.#enter(slices, value, watcher);
  }

  notify(changes: readonly Change<T>[]): void {
    if (this.#count === 0) return;
    for (const change of changes) this.#notifyOne(change);
  }

  #notifyOne(change: Change<T>): void {
    wake(this.#ofKey.get(change.key), change);
    wake(this.#ofAll, change);
    for (const [index, slices] of this.#ofSlice) {
      for (const value of valuesOf(index, change)) wake(slices.get(value), change);
    }
  }

  #enter(places: Map<string, Set<Watcher<T>>>, place: string, watcher: Watcher<T>): Reading {
    let watchers = places.get(place);
    if (watchers === undefined) places.set(place, (watchers = new Set()));
    watchers.add(watcher);
    this.#count++;
    return {
      retract: () => {
        const present = places.get(place);
        if (present === undefined || !present.delete(watcher)) return;
        this.#count--;
        if (present.size === 0) places.delete(place);
      },
    };
  }
}

function wake<T>(watchers: ReadonlySet<Watcher<T>> | undefined, change: Change<T>): void {
  if (watchers === undefined) return;
  for (const { computation, where } of watchers) {
    if (!computation.isDue && concerns(where, change)) computation.makeDue();
  }
}

/** An item that passes neither before nor after was not seen and will not be. */
function concerns<T>(where: Where<T>, { before, after }: Change<T>): boolean {
  return (
    where === undefined ||
    (before !== undefined && where(before)) ||
    (after !== undefined && where(after))
  );
}

function valuesOf<T>(index: Index<T>, { before, after }: Change<T>): ReadonlySet<string> {
  const values = new Set(before === undefined ? [] : index.valuesOf(before));
  if (after !== undefined) for (const value of index.valuesOf(after)) values.add(value);
  return values;
}
