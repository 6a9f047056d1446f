import { EAGAIN } from '#linux/libc.ts';

import type { Slab, SlabPool } from '../memory.ts';
import { sendFrom } from '../socket.ts';

interface Waiting {
  readonly slab: Slab;
  start: number;
  end: number;
}

/** Bytes. Twice what one turn's write may leave behind; who writes on while it is blocked is stopped. */
const WAITING_MAX = 4 << 20;

/** What waits for one socket: bytes leave in order, at once when the socket takes them. */
export class Outbox {
  readonly #fd: number;
  readonly #pool: SlabPool;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** While true nothing is sent, all waits. */
  held = false;
  /** -errno of a send that failed, or 0. From then on everything is dropped. */
  failure = 0;
  /** More was written than a blocked connection may keep. */
  overflown = false;

  constructor(fd: number, pool: SlabPool) {
    this.#fd = fd;
    this.#pool = pool;
  }

  /** Bytes that wait. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Sends `slab[start, end)`, or keeps a copy of what cannot go now. */
  send(slab: Slab, start: number, end: number): void {
    if (this.failure !== 0 || this.overflown) return;
    let at = start;
    if (!this.held && this.#waitingBytes === 0) {
      const sent = sendFrom(this.#fd, slab, at, end - at);
      if (sent === end - at) return;
      if (sent > 0) at += sent;
      else if (sent < 0 && sent !== -EAGAIN) {
        this.#fail(sent);
        return;
      }
    }
    this.keep(slab.bytes, at, end);
  }

  /** Keeps a copy of `bytes[start, end)` for later. */
  keep(bytes: Uint8Array, start: number, end: number): void {
    if (this.#waitingBytes + (end - start) > WAITING_MAX) {
      this.overflown = true;
      this.clear();
      return;
    }
    let at = start;
    while (at < end) {
      let last = this.#waiting.at(-1);
      if (last === undefined || last.end === last.slab.size) {
        last = { slab: this.#pool.acquire(), start: 0, end: 0 };
        this.#waiting.push(last);
      }
      const count = Math.min(end - at, last.slab.size - last.end);
      last.slab.bytes.set(bytes.subarray(at, at + count), last.end);
      last.end += count;
      at += count;
    }
    this.#waitingBytes += end - start;
  }

  /** Sends what waits, as far as the socket takes it. True when nothing waits any more. */
  flush(): boolean {
    let first = this.held ? undefined : this.#waiting[0];
    while (first !== undefined) {
      const length = first.end - first.start;
      const sent = sendFrom(this.#fd, first.slab, first.start, length);
      if (sent < 0) {
        if (sent !== -EAGAIN) this.#fail(sent);
        break;
      }
      this.#waitingBytes -= sent;
      first.start += sent;
      if (sent < length) break;
      this.#pool.release(first.slab);
      this.#waiting.shift();
      first = this.#waiting[0];
    }
    return this.#waitingBytes === 0;
  }

  /** Forgets what waits. */
  clear(): void {
    for (const { slab } of this.#waiting) this.#pool.release(slab);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** A copy of what waits. */
  export(): Uint8Array {
    const all = new Uint8Array(this.#waitingBytes);
    let at = 0;
    for (const { slab, start, end } of this.#waiting) {
      all.set(slab.bytes.subarray(start, end), at);
      at += end - start;
    }
    return all;
  }

  #fail(errno: number): void {
    this.failure = errno;
    this.clear();
  }
}
