/**
 * An index: outer key → (inner key → value). Outer keys without values don't stay behind. Setting an
 * inner key again keeps its place in the order.
 */
export class MultiMap<Outer, Inner, Value> {
  readonly #byOuter = new Map<Outer, Map<Inner, Value>>();
  readonly #none: ReadonlyMap<Inner, Value> = new Map<Inner, Value>();

  /** What is under an outer key; empty when there is nothing. */
  get(outer: Outer): ReadonlyMap<Inner, Value> {
    return this.#byOuter.get(outer) ?? this.#none;
  }

  outerKeys(): IterableIterator<Outer> {
    return this.#byOuter.keys();
  }

  set(outer: Outer, inner: Inner, value: Value): void {
    const values = this.#byOuter.get(outer);
    if (values === undefined) this.#byOuter.set(outer, new Map([[inner, value]]));
    else values.set(inner, value);
  }

  delete(outer: Outer, inner: Inner): void {
    const values = this.#byOuter.get(outer);
    if (values === undefined) return;
    values.delete(inner);
    if (values.size === 0) this.#byOuter.delete(outer);
  }
}
