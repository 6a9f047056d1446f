import { invariant } from '#common/assert.ts';

import { Collection } from './collection.ts';
import type { ItemOptions, Readable } from './core.ts';
import type { Graph } from './graph.ts';

/** Several collections as one. A key that several of them have is taken from the first that has it. */
export class JoinedCollection<T> extends Collection<T> {
  readonly #parts: readonly Readable<T>[];
  readonly #due = new Set<string>();

  constructor(
    graph: Graph,
    name: string,
    options: ItemOptions<T> & { readonly parts: readonly Readable<T>[] },
  ) {
    super(graph, name, options);
    this.#parts = options.parts;
    graph.transact(() => {
      for (const part of this.#parts) {
        invariant(part instanceof Collection, 'only collections can be joined');
        (part as Collection<T>).follow((changes) => {
          for (const { key } of changes) this.#makeDue(key);
        });
        for (const key of part.keys()) this.#makeDue(key);
      }
    });
  }

  get isSynced(): boolean {
    return this.#parts.every((part) => part.isSynced);
  }

  protected override compute(): void {
    for (const key of this.#due) {
      const holder = this.#parts.find((part) => part.get(key) !== undefined);
      this.put(key, holder?.get(key));
    }
    this.#due.clear();
  }

  #makeDue(key: string): void {
    this.#due.add(key);
    this.graph.touch(this);
  }
}
