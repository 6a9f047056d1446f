import type { Fetch, Readable } from './core.ts';
import { DerivedCollection } from './derived.ts';
import type { Graph } from './graph.ts';
import { StaticCollection } from './static.ts';

const ONLY = 'only';

/** One computed value, as a collection of at most one item: for what exists once in a mesh. */
export class Singleton<T> {
  /** For `subscribe`, and for dumps. */
  readonly collection: Readable<T>;

  /** `compute` is a transformation without an item: undefined means that there is no value. */
  constructor(graph: Graph, name: string, compute: (fetch: Fetch) => T | undefined) {
    const unit = new StaticCollection<string>(graph, `${name}/unit`, { keyOf: (key) => key });
    unit.markSynced();
    unit.set(ONLY);
    this.collection = new DerivedCollection<string, T>(graph, name, unit, {
      keyOf: () => ONLY,
      transformation: (_unit, fetch) => {
        const value = compute(fetch);
        return value === undefined ? [] : [value];
      },
    });
  }

  get value(): T | undefined {
    return this.collection.get(ONLY);
  }

  /** Reads the value within another transformation. */
  fetch(fetch: Fetch): T | undefined {
    return fetch.one(this.collection, ONLY);
  }
}
