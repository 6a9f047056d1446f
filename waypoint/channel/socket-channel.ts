import type { ByteBudget } from '#reactor/byte-budget.ts';
import {
  type EventHandler,
  FAILED,
  HUNG_UP,
  type Loop,
  PEER_FINISHED,
  READABLE,
  WRITABLE,
} from '#reactor/loop.ts';
import type { Slab } from '#reactor/memory.ts';
import { PendingBytes } from '#reactor/pending.ts';
import {
  closeSocket,
  EAGAIN,
  errnoText,
  receiveInto,
  resetSocket,
  sendFrom,
  shutdownWrite,
} from '#reactor/socket.ts';

import type { Channel, ChannelUser } from './channel.ts';

/** Bytes that we read ahead of what our user has taken: what the kernel keeps for a socket is enough beyond it. */
const READ_AHEAD_BYTES = 262_144;
const READS_PER_EVENT = 2;

export interface SocketChannelHost {
  readonly loop: Loop;
  /** Memory for one call at a time: what is read lies in the first half, what is to be sent in the second. */
  readonly scratch: Slab;
}

/** A connected TCP socket. */
export class SocketChannel implements Channel, EventHandler {
  readonly fd: number;
  user: ChannelUser;
  readonly #host: SocketChannelHost;
  readonly #pending: PendingBytes;
  #isOpen = true;
  #unconsumed = 0;
  #peerFinished = false;
  #finishing = false;
  #finished = false;

  /** Takes over `fd`. What waits for the peer counts in `waiting`. */
  constructor(host: SocketChannelHost, fd: number, user: ChannelUser, waiting?: ByteBudget) {
    this.#host = host;
    this.fd = fd;
    this.user = user;
    this.#pending = new PendingBytes(waiting);
    this.#update();
  }

  get queued(): number {
    return this.#pending.length;
  }

  get overflows(): boolean {
    return this.#pending.overflows;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (!this.#isOpen || this.#finishing) return;
    const from = this.#pending.length === 0 ? this.#send(bytes, start, end) : start;
    if (from === end) return;
    this.#pending.append(bytes, from, end);
    this.#update();
  }

  finish(): void {
    if (!this.#isOpen || this.#finishing) return;
    this.#finishing = true;
    this.#sendEnd();
  }

  consume(length: number): void {
    this.#unconsumed -= length;
    this.#update();
  }

  abort(): void {
    if (!this.#isOpen) return;
    this.#leave();
    resetSocket(this.fd);
  }

  // --- EventHandler

  onEvents(events: number): void {
    if ((events & WRITABLE) !== 0) this.#drain();
    if (this.#isOpen && (events & (READABLE | PEER_FINISHED | FAILED | HUNG_UP)) !== 0) {
      this.#read();
    }
  }

  onFault(error: unknown): void {
    this.#break(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }

  // ---

  /** The socket's own memory only takes what lies in a slab. */
  #send(bytes: Buffer, start: number, end: number): number {
    const { scratch } = this.#host;
    const half = scratch.size >>> 1;
    let from = start;
    while (from < end) {
      const length = Math.min(half, end - from);
      bytes.copy(scratch.bytes, half, from, from + length);
      const sent = sendFrom(this.fd, scratch, half, length);
      // What is wrong with the socket is told when it is looked at: not from within a call of its user.
      if (sent < 0) return from;
      from += sent;
      if (sent < length) return from;
    }
    return from;
  }

  #drain(): void {
    const sent = this.#pending.drainTo(this.fd);
    if (sent < 0) {
      this.#break(errnoText(sent));
      return;
    }
    if (this.#pending.length === 0) {
      this.#sendEnd();
      if (sent > 0) this.user.onDrained();
    }
    this.#update();
  }

  #read(): void {
    const { scratch } = this.#host;
    const half = scratch.size >>> 1;
    for (let round = 0; round < READS_PER_EVENT; round++) {
      if (!this.#isOpen || this.#peerFinished || this.#unconsumed >= READ_AHEAD_BYTES) break;
      const received = receiveInto(this.fd, scratch, 0, half);
      if (received === -EAGAIN) break;
      if (received < 0) {
        this.#break(errnoText(received));
        return;
      }
      if (received === 0) {
        this.#peerFinished = true;
        this.user.onFinished();
        this.#closeIfDone();
        break;
      }
      this.#unconsumed += received;
      this.user.onBytes(scratch.bytes, 0, received);
      if (received < half) break;
    }
    this.#update();
  }

  #sendEnd(): void {
    if (!this.#finishing || this.#finished || this.#pending.length > 0) return;
    this.#finished = true;
    shutdownWrite(this.fd);
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (!this.#isOpen || !this.#finished || !this.#peerFinished) return;
    this.#leave();
    closeSocket(this.fd);
  }

  #break(reason: string): void {
    if (!this.#isOpen) return;
    this.#leave();
    resetSocket(this.fd);
    this.user.onBroken(reason);
  }

  #leave(): void {
    this.#isOpen = false;
    this.#host.loop.remove(this);
    this.#pending.clear();
  }

  /** Asks the loop for exactly what can be used now; with nothing to want the socket leaves the loop. */
  #update(): void {
    if (!this.#isOpen) return;
    const { loop } = this.#host;
    let interest = 0;
    if (this.#pending.length > 0) interest |= WRITABLE;
    if (!this.#peerFinished && this.#unconsumed < READ_AHEAD_BYTES) interest |= READABLE;
    if (interest === 0) loop.remove(this);
    else if (loop.has(this)) loop.setInterest(this, interest);
    else loop.add(this, interest);
  }
}
