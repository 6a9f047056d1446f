import { EAGAIN } from '#linux/libc.ts';

import type { ByteBudget } from './byte-budget.ts';
import { allocateSlab, type Slab } from './memory.ts';
import { sendFrom } from './socket.ts';

/** Smallest piece of memory taken, so that a flood of tiny writes does not become a flood of slabs. */
const CHUNK_BYTES_MIN = 16_384;

interface Chunk {
  readonly slab: Slab;
  start: number;
  end: number;
}

/**
 * Bytes that wait for a socket to take them, in order. It has no limit of its own: whoever appends stops
 * reading from the other side, or has given its peer a window that bounds what can come. Their memory counts in
 * `budget`.
 */
export class PendingBytes {
  readonly #chunks: Chunk[] = [];
  readonly #budget: ByteBudget | undefined;
  #length = 0;
  #heldBytes = 0;

  constructor(budget?: ByteBudget) {
    this.#budget = budget;
  }

  /** Memory in use, which is more than {@link length}. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** The budget is full, and this is more than its part of it: whoever appends should give it up. */
  get overflows(): boolean {
    return this.#budget?.takesFrom(this.#heldBytes) === true;
  }

  /** Copies `slab.bytes[start, end)` to the end. */
  append(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    const last = this.#chunks.at(-1);
    if (last !== undefined) {
      const room = Math.min(last.slab.size - last.end, end - from);
      last.slab.bytes.set(bytes.subarray(from, from + room), last.end);
      last.end += room;
      from += room;
    }
    if (from < end) {
      const slab = allocateSlab(Math.max(end - from, CHUNK_BYTES_MIN));
      slab.bytes.set(bytes.subarray(from, end), 0);
      this.#chunks.push({ slab, start: 0, end: end - from });
      this.#hold(this.#heldBytes + slab.size);
    }
    this.#length += end - start;
  }

  /** Sends as much as the socket takes: bytes sent (0 when it takes none), or -errno. */
  drainTo(fd: number): number {
    let total = 0;
    for (;;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) return total;
      const sent = sendFrom(fd, chunk.slab, chunk.start, chunk.end - chunk.start);
      if (sent < 0) return sent === -EAGAIN ? total : sent;
      total += sent;
      this.#length -= sent;
      chunk.start += sent;
      if (chunk.start < chunk.end) return total;
      this.#chunks.shift();
      this.#hold(this.#heldBytes - chunk.slab.size);
    }
  }

  /** Copies the first bytes, at most `most`, to `into` from `at` on: how many. They stay here. */
  peekTo(into: Buffer, at: number, most: number): number {
    let copied = 0;
    for (const { slab, start, end } of this.#chunks) {
      const length = Math.min(end - start, most - copied);
      slab.bytes.copy(into, at + copied, start, start + length);
      copied += length;
      if (copied === most) break;
    }
    return copied;
  }

  /** Forgets the first `length` bytes, of which there are so many. */
  drop(length: number): void {
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[0] as Chunk;
      const taken = Math.min(chunk.end - chunk.start, left);
      chunk.start += taken;
      left -= taken;
      if (chunk.start < chunk.end) break;
      this.#chunks.shift();
      this.#hold(this.#heldBytes - chunk.slab.size);
    }
    this.#length -= length;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#length = 0;
    this.#hold(0);
  }

  /** A copy of everything that waits, for another process. */
  export(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk.slab.bytes.subarray(chunk.start, chunk.end), at);
      at += chunk.end - chunk.start;
    }
    return bytes;
  }

  static restore(bytes: Uint8Array, budget?: ByteBudget): PendingBytes {
    const pending = new PendingBytes(budget);
    if (bytes.length > 0) pending.append(bytes, 0, bytes.length);
    return pending;
  }

  #hold(bytes: number): void {
    this.#budget?.change(this.#heldBytes, bytes);
    this.#heldBytes = bytes;
  }
}
