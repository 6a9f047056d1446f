/** What the table needs to know of an entry. */
interface Sized {
  readonly size: number;
}

/**
 * The dynamic table of one direction (RFC 7541 section 2.3.2): entries are added in front and fall off the
 * end. A ring, so that neither moves the others.
 *
 * Invariant: `size` is the sum of the entries' sizes and never above `maxSize`.
 */
export class DynamicTable<Entry extends Sized> {
  size = 0;
  count = 0;
  maxSize: number;
  #ring: (Entry | undefined)[] = [];
  /** Where the newest entry lies in the ring. */
  #newest = -1;

  constructor(maxSize: number) {
    this.maxSize = maxSize;
  }

  /** The entry that was added `age` additions before the newest one. */
  get(age: number): Entry | undefined {
    if (age >= this.count) return undefined;
    return this.#ring[(this.#newest - age) & (this.#ring.length - 1)];
  }

  /** Adds in front. The caller made room first: an entry that doesn't fit must not be added. */
  add(entry: Entry): void {
    if (this.count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = entry;
    this.count++;
    this.size += entry.size;
  }

  /** Takes off the oldest entry; undefined when there is none. */
  evict(): Entry | undefined {
    if (this.count === 0) return undefined;
    const at = (this.#newest - this.count + 1) & (this.#ring.length - 1);
    const entry = this.#ring[at];
    this.#ring[at] = undefined;
    this.count--;
    this.size -= entry?.size ?? 0;
    return entry;
  }

  /** Oldest first: adding them in this order to an empty table gives the same table. */
  entries(): Entry[] {
    const entries: Entry[] = [];
    for (let age = this.count - 1; age >= 0; age--) {
      const entry = this.get(age);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  /** Lengths are powers of two so that a mask wraps around. Bounded: an entry counts at least 32 bytes. */
  #grow(): void {
    const entries = this.entries();
    const length = Math.max(8, this.#ring.length * 2);
    this.#ring = [...entries, ...Array<undefined>(length - entries.length).fill(undefined)];
    this.#newest = entries.length - 1;
  }
}
