import { Collection } from './collection.ts';

/** An input: its items are put in from outside. Each call is a transaction unless it is within one. */
export class StaticCollection<T> extends Collection<T> {
  #isSynced = false;

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** All that there was at the beginning has been put in. */
  markSynced(): void {
    this.#isSynced = true;
  }

  set(item: T): void {
    this.#change(this.keyOf(item), item);
  }

  delete(key: string): void {
    this.#change(key, undefined);
  }

  /** Exactly these items; others go. */
  replaceAll(items: Iterable<T>): void {
    this.graph.transact(() => {
      const gone = new Set(this.keys());
      for (const item of items) {
        gone.delete(this.keyOf(item));
        this.set(item);
      }
      for (const key of gone) this.delete(key);
    });
  }

  // Items are put in as they come; there is nothing left to compute.
  protected override compute(): void {}

  #change(key: string, item: T | undefined): void {
    this.graph.transact(() => {
      this.put(key, item);
      this.graph.touch(this);
    });
  }
}
