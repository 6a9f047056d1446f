/**
 * The vocabulary of incremental collections: what a reader of one may rely on. See README.md for the law
 * that transformations obey.
 */

/**
 * What one transaction did to one item: it came (`before` is undefined), changed, or went (`after` is
 * undefined). Never both undefined, never two that are equal.
 */
export interface Change<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** Called once per transaction that changed the collection, when all collections are up to date. */
export type ChangeHandler<T> = (changes: readonly Change<T>[]) => void;

/** Items that share one value of an index, such as all services of one namespace. */
export interface Slice<T> {
  readonly index: Index<T>;
  readonly value: string;
}

/** Finds the items of a collection by something other than their key. */
export interface Index<T> {
  readonly name: string;
  at(value: string): Slice<T>;
  /** In the order of their keys. For use outside of transformations: it records no dependency. */
  lookup(value: string): readonly T[];
  /** The index values of an item. */
  valuesOf(item: T): readonly string[];
}

/** Which items of a collection a transformation reads: all of them, or fewer. */
export interface Filter<T> {
  readonly within?: Slice<T>;
  /** Pure: decides by the item and by what the transformation was given. */
  readonly where?: (item: T) => boolean;
}

/**
 * Reads other collections on behalf of one transformation, and remembers what was read: the item is
 * computed again exactly when that changes. Valid until the transformation returns.
 */
export interface Fetch {
  one<T>(collection: Readable<T>, key: string): T | undefined;
  /** In the order of their keys. */
  all<T>(collection: Readable<T>, filter?: Filter<T>): readonly T[];
}

/** What everybody may ask of a collection. */
export interface Readable<T> {
  readonly name: string;
  readonly size: number;
  /** Whether everything that it is computed from has been told its initial content. */
  readonly isSynced: boolean;
  get(key: string): T | undefined;
  keys(): IterableIterator<string>;
  values(): IterableIterator<T>;
  /** The handler hears of changes from now on. */
  subscribe(handler: ChangeHandler<T>): Disposable;
  /** Makes an index, maintained from now on. `valuesOf` is pure; an item may have any number of values. */
  indexBy(name: string, valuesOf: (item: T) => readonly string[]): Index<T>;
}

/** How an item is told from others, and when two are the same. */
export interface ItemOptions<T> {
  readonly keyOf: (item: T) => string;
  /** Default: {@link structurallyEqual}. */
  readonly equal?: (one: T, other: T) => boolean;
}
