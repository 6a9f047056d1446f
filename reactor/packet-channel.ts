import { EAGAIN, errnoName } from '#linux/libc.ts';
import { receivePacket, sendPacket } from '#linux/seqpacket.ts';

import { type EventHandler, type Loop, READABLE, WRITABLE } from './loop.ts';
import { closeSocket, shutdownRead } from './socket.ts';

/** One packet with its descriptors. They are the receiver's to close. */
export interface Packet {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

/** Longest packet sent or accepted; large things travel as a memory file's descriptor. */
export const PACKET_BYTES_MAX = 65_536;
const DESCRIPTORS_MAX = 253;

/** The conversation can't go on. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

/**
 * A conversation in packets over a SEQPACKET socket, for the control thread: packets wait in the kernel until
 * they are asked for, and every wait has a deadline.
 */
export class PacketChannel implements EventHandler {
  readonly fd: number;
  readonly #loop: Loop;
  #wake: (() => void) | undefined;
  #closed = false;

  /** Takes over `fd`. */
  constructor(loop: Loop, fd: number) {
    this.#loop = loop;
    this.fd = fd;
  }

  onEvents(): void {
    this.#loop.remove(this);
    this.#wake?.();
    this.#loop.returnToNode();
  }

  /** Sends one packet; waits while the peer's queue is full. Throws {@link ChannelError}. */
  async send(bytes: Uint8Array, fds: readonly number[], deadlineMs: number): Promise<void> {
    for (;;) {
      this.#mustBeOpen();
      const sent = sendPacket(this.fd, bytes, fds);
      if (sent >= 0) return;
      if (sent !== -EAGAIN) throw new ChannelError(`cannot send: ${errnoName(sent)}`);
      await this.#ready(WRITABLE, deadlineMs);
    }
  }

  /** The next packet. Throws {@link ChannelError} at the end, at the deadline, and for a broken packet. */
  async receive(deadlineMs: number): Promise<Packet> {
    for (;;) {
      this.#mustBeOpen();
      const received = receivePacket(this.fd, PACKET_BYTES_MAX, DESCRIPTORS_MAX);
      switch (received.kind) {
        case 'packet':
          return received;
        case 'again':
          await this.#ready(READABLE, deadlineMs);
          continue;
        case 'end':
          throw new ChannelError('the other process has closed the connection');
        case 'truncated':
          throw new ChannelError('a packet was larger than expected');
        case 'failed':
          throw new ChannelError(`cannot receive: ${errnoName(received.errno)}`);
      }
    }
  }

  /**
   * From now on the peer's sends fail. What it has sent before still arrives, and then the end: so one
   * {@link receive} more tells for certain whether it has said something or will never have.
   */
  refuseMore(): void {
    if (!this.#closed) shutdownRead(this.fd);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.remove(this);
    closeSocket(this.fd);
    this.#wake?.();
  }

  /** `deadlineMs` is on the scale of `performance.now()`. */
  async #ready(interest: number, deadlineMs: number): Promise<void> {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) throw new ChannelError('no answer in time');
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), leftMs);
      this.#wake = () => {
        this.#wake = undefined;
        clearTimeout(timer);
        resolve();
      };
      this.#loop.add(this, interest);
    });
    this.#loop.remove(this);
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new ChannelError('the connection is closed');
  }
}
