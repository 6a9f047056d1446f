import { MultiMap } from '#common/collections/multi-map.ts';

import type { Change, Index, Slice } from './core.ts';

/** An index that its collection keeps up to date. */
export class Lookup<T> implements Index<T> {
  readonly name: string;
  readonly valuesOf: (item: T) => readonly string[];
  readonly #byValue = new MultiMap<string, string, T>();

  constructor(name: string, valuesOf: (item: T) => readonly string[]) {
    this.name = name;
    this.valuesOf = valuesOf;
  }

  at(value: string): Slice<T> {
    return { index: this, value };
  }

  lookup(value: string): readonly T[] {
    return inKeyOrder(this.#byValue.get(value));
  }

  /** For the collection: what is under a value, in no particular order. */
  entries(value: string): ReadonlyMap<string, T> {
    return this.#byValue.get(value);
  }

  /** For the collection. */
  apply({ key, before, after }: Change<T>): void {
    if (before !== undefined) {
      for (const value of this.valuesOf(before)) this.#byValue.delete(value, key);
    }
    if (after !== undefined) {
      for (const value of this.valuesOf(after)) this.#byValue.set(value, key, after);
    }
  }
}

/** The order in which items came must not show: it differs from one run to the next. */
export function inKeyOrder<T>(entries: Iterable<readonly [string, T]>): readonly T[] {
  return [...entries].toSorted(([one], [other]) => compareKeys(one, other)).map(([, item]) => item);
}

export function compareKeys(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
