import { invariant } from '#common/assert.ts';

import { Collection } from './collection.ts';
import type { Fetch, Filter, Readable } from './core.ts';
import type { Computation, Reading } from './dependencies.ts';
import type { Graph, Member } from './graph.ts';

/** Reads for one run of one computation, and collects what was read. */
export class Fetcher implements Fetch {
  readonly #graph: Graph;
  readonly #reader: Member;
  readonly #computation: Computation;
  readonly #onRead: (collection: Readable<unknown>) => void;
  readonly #readings: Reading[] = [];
  #open = true;

  /** `onRead` is told of each collection that is read. */
  constructor(
    graph: Graph,
    reader: Member,
    computation: Computation,
    onRead: (collection: Readable<unknown>) => void,
  ) {
    this.#graph = graph;
    this.#reader = reader;
    this.#computation = computation;
    this.#onRead = onRead;
  }

  one<T>(collection: Readable<T>, key: string): T | undefined {
    const { item, reading } = this.#checked(collection).readKey(key, this.#computation);
    this.#readings.push(reading);
    return item;
  }

  all<T>(collection: Readable<T>, filter: Filter<T> = {}): readonly T[] {
    const { items, reading } = this.#checked(collection).read(filter, this.#computation);
    this.#readings.push(reading);
    return items;
  }

  /** Ends the run: what was read. */
  finish(): readonly Reading[] {
    this.#open = false;
    return this.#readings;
  }

  #checked<T>(collection: Readable<T>): Collection<T> {
    invariant(this.#open, `"${this.#reader.name}" fetches only while its transformation runs`);
    invariant(collection instanceof Collection, 'only collections can be fetched from');
    invariant(
      this.#graph.precedes(collection, this.#reader),
      `"${this.#reader.name}" fetches only from collections made before it, "${collection.name}" is not`,
    );
    this.#onRead(collection as Readable<unknown>);
    return collection as Collection<T>;
  }
}
