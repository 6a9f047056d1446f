import { invariant } from '#common/assert.ts';

import { Collection } from './collection.ts';
import type { Fetch, ItemOptions, Readable } from './core.ts';
import type { Computation, Reading } from './dependencies.ts';
import { Fetcher } from './fetch.ts';
import type { Graph } from './graph.ts';
import { compareKeys } from './lookup.ts';

/**
 * Makes items of one item and of what it fetches. Pure: no state, no I/O, no clock; may be called any
 * number of times. The keys of the answer differ from each other.
 */
export type Transformation<S, T> = (item: S, fetch: Fetch) => readonly T[];

/** A collection whose items are computed, each from one item of another collection. */
export class DerivedCollection<S, T> extends Collection<T> {
  readonly #source: Collection<S>;
  readonly #transformation: Transformation<S, T>;
  readonly #computations = new Map<string, SourceComputation<T>>();
  readonly #due = new Set<string>();
  readonly #claims = new Claims<T>();
  /** Everything that was ever fetched from. */
  readonly #fetchedFrom = new Set<Readable<unknown>>();

  constructor(
    graph: Graph,
    name: string,
    source: Readable<S>,
    options: ItemOptions<T> & { readonly transformation: Transformation<S, T> },
  ) {
    invariant(source instanceof Collection, 'only a collection can be a source');
    super(graph, name, options);
    this.#source = source as Collection<S>;
    this.#transformation = options.transformation;
    this.#source.follow((changes) => {
      for (const { key } of changes) this.#makeDue(key);
    });
    graph.transact(() => {
      for (const key of this.#source.keys()) this.#makeDue(key);
    });
  }

  get isSynced(): boolean {
    return (
      this.#source.isSynced && [...this.#fetchedFrom].every((collection) => collection.isSynced)
    );
  }

  protected override compute(): void {
    for (const key of this.#due) {
      const item = this.#source.get(key);
      if (item === undefined) this.#forget(key);
      else this.#run(key, item);
    }
    this.#due.clear();
  }

  #makeDue(key: string): void {
    if (this.#due.has(key)) return;
    this.#due.add(key);
    this.graph.touch(this);
  }

  #run(key: string, item: S): void {
    const computation = this.#computations.get(key) ?? this.#newComputation(key);
    const before = computation.readings;
    const fetcher = new Fetcher(this.graph, this, computation, (collection) =>
      this.#fetchedFrom.add(collection),
    );
    try {
      this.#answer(computation, this.#transformation(item, fetcher));
    } catch (error) {
      this.graph.fault({ collection: this.name, key, error });
    }
    // New ones first: a place that both name is not torn down and built again.
    computation.readings = fetcher.finish();
    for (const reading of before) reading.retract();
  }

  #answer(computation: SourceComputation<T>, items: readonly T[]): void {
    const outputs = new Map(items.map((item) => [this.keyOf(item), item] as const));
    invariant(outputs.size === items.length, `a transformation answers different keys`);
    for (const key of computation.outputs) {
      if (!outputs.has(key)) this.put(key, this.#claims.withdraw(key, computation.key));
    }
    for (const [key, item] of outputs) {
      this.put(key, this.#claims.enter(key, computation.key, item));
    }
    computation.outputs = [...outputs.keys()];
  }

  #forget(key: string): void {
    const computation = this.#computations.get(key);
    if (computation === undefined) return;
    this.#computations.delete(key);
    for (const reading of computation.readings) reading.retract();
    for (const output of computation.outputs) {
      this.put(output, this.#claims.withdraw(output, key));
    }
  }

  #newComputation(key: string): SourceComputation<T> {
    const due = this.#due;
    const computation: SourceComputation<T> = {
      key,
      readings: [],
      outputs: [],
      get isDue() {
        return due.has(key);
      },
      makeDue: () => this.#makeDue(key),
    };
    this.#computations.set(key, computation);
    return computation;
  }
}

interface SourceComputation<_T> extends Computation {
  readonly key: string;
  readings: readonly Reading[];
  outputs: readonly string[];
}

/**
 * Who says what about an output key. When several sources name the same one, the item of the smallest
 * source key holds: whatever the order in which they came.
 */
class Claims<T> {
  readonly #sole = new Map<string, { readonly source: string; readonly item: T }>();
  readonly #several = new Map<string, Map<string, T>>();

  /** The item that holds now. */
  enter(key: string, source: string, item: T): T {
    const several = this.#several.get(key);
    if (several !== undefined) {
      several.set(source, item);
      return firstOf(several);
    }
    const sole = this.#sole.get(key);
    if (sole === undefined || sole.source === source) {
      this.#sole.set(key, { source, item });
      return item;
    }
    const both = new Map([
      [sole.source, sole.item],
      [source, item],
    ]);
    this.#sole.delete(key);
    this.#several.set(key, both);
    return firstOf(both);
  }

  /** The item that holds now; undefined when nobody names the key any more. */
  withdraw(key: string, source: string): T | undefined {
    const several = this.#several.get(key);
    if (several === undefined) {
      this.#sole.delete(key);
      return undefined;
    }
    several.delete(source);
    const [left] = several;
    if (several.size > 1 || left === undefined) return firstOf(several);
    this.#several.delete(key);
    this.#sole.set(key, { source: left[0], item: left[1] });
    return left[1];
  }
}

function firstOf<T>(claims: ReadonlyMap<string, T>): T {
  let first: readonly [string, T] | undefined;
  for (const claim of claims) {
    if (first === undefined || compareKeys(claim[0], first[0]) < 0) first = claim;
  }
  invariant(first !== undefined, 'a claimed key has a claim');
  return first[1];
}
