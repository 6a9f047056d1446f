import koffi from 'koffi';

import { invariant } from '#common/assert.ts';
import { memcpyAt, strnlenAt } from '#linux/libc.ts';

/**
 * Memory that the kernel and OpenSSL read and write directly. The bytes lie outside V8's heap and never
 * move, so their address is taken once. A wrong address or length here is memory corruption, which is why
 * only {@link addressOf} turns a range into an address, and checks it.
 */
export interface Slab {
  readonly bytes: Buffer;
  /** Address of `bytes[0]`. */
  readonly address: number;
  /** Bytes. */
  readonly size: number;
}

export function allocateSlab(size: number): Slab {
  invariant(Number.isSafeInteger(size) && size > 0, `a slab of ${size} bytes`);
  const bytes = Buffer.from(new ArrayBuffer(size));
  return { bytes, address: Number(koffi.address(bytes)), size };
}

/**
 * The address of `slab.bytes[start]`, after checking that `length` bytes from there lie inside the slab. An
 * address keeps nothing alive: the slab must be used after the last call that reads or writes there.
 */
export function addressOf(slab: Slab, start: number, length: number): number {
  // One expression on purpose: this runs several times per record. NaN fails every comparison.
  if (!(start >= 0 && length >= 0 && start + length <= slab.size)) {
    throw new RangeError(`Range ${start}+${length} is outside a slab of ${slab.size} bytes`);
  }
  return slab.address + start;
}

/** Copies memory that C lent us for the time of a callback; `foreign` is its address, taken on trust. */
export function copyFromForeign(slab: Slab, start: number, foreign: number, length: number): void {
  memcpyAt(addressOf(slab, start, length), foreign, length);
}

/** Copies from a slab to where C has asked for it; `foreign` is an address, taken on trust. */
export function copyToForeign(foreign: number, slab: Slab, start: number, length: number): void {
  memcpyAt(foreign, addressOf(slab, start, length), length);
}

/** Copies a string of C without its final NUL, at most what the slab holds. Its length. */
export function copyForeignString(slab: Slab, foreign: number): number {
  const length = strnlenAt(foreign, slab.size);
  copyFromForeign(slab, 0, foreign, length);
  return length;
}

/** Overwrites secrets before the memory is let go. */
export function wipe(slab: Slab): void {
  slab.bytes.fill(0);
}

/** Slabs of one size that are taken and given back within a turn or while a connection is busy. */
export class SlabPool {
  readonly slabSize: number;
  readonly #keepFreeMax: number;
  readonly #free: Slab[] = [];

  /** Keeps up to `keepFreeMax` unused slabs; what is given back beyond that is left to the collector. */
  constructor(slabSize: number, keepFreeMax: number) {
    this.slabSize = slabSize;
    this.#keepFreeMax = keepFreeMax;
  }

  acquire(): Slab {
    return this.#free.pop() ?? allocateSlab(this.slabSize);
  }

  release(slab: Slab): void {
    invariant(slab.size === this.slabSize, 'a slab goes back to the pool that it came from');
    // Given back twice it would have two owners, and one pod's bytes would reach another.
    invariant(!this.#free.includes(slab), 'a slab is given back once');
    if (this.#free.length < this.#keepFreeMax) this.#free.push(slab);
  }
}
