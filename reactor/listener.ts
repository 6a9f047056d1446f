import { EAGAIN, errnoName } from '#linux/libc.ts';
import { acceptTcp } from '#linux/socket.ts';
import { type EventHandler, type Loop, READABLE } from './loop.ts';
import { own } from './owned-descriptors.ts';
import { closeSocket } from './socket.ts';
import type { Timer } from './timers.ts';

const ACCEPTS_PER_EVENT = 64;
/** Milliseconds without accepting, after the process or the system has run out of descriptors or memory. */
export const ACCEPT_PAUSE_MS = 100;

/** Accepts what comes to one listening socket, and hands every descriptor on. */
export class Listener implements EventHandler, Timer {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #accepted: (fd: number) => void;
  readonly #pauses: (problem: string) => void;

  /** `pauses` is told, each time, why nothing can be accepted for {@link ACCEPT_PAUSE_MS}. */
  constructor(
    loop: Loop,
    fd: number,
    accepted: (fd: number) => void,
    pauses: (problem: string) => void,
  ) {
    this.#loop = loop;
    this.fd = fd;
    this.#accepted = accepted;
    this.#pauses = pauses;
  }

  onEvents(): void {
    for (let count = 0; count < ACCEPTS_PER_EVENT; count++) {
      const fd = acceptTcp(this.fd);
      if (fd === -EAGAIN) return;
      if (fd < 0) {
        const name = errnoName(fd);
        // The peer gave up while it waited; the next one may be fine.
        if (name === 'ECONNABORTED' || name === 'EINTR' || name === 'EPROTO') continue;
        this.#rest(name);
        return;
      }
      own(fd);
      this.#accepted(fd);
    }
  }

  /** Out of descriptors or memory: the listener stays ready, so looking away is the only way not to spin. */
  #rest(problem: string): void {
    this.#loop.remove(this);
    this.#loop.timers.schedule(this, this.#loop.nowMs + ACCEPT_PAUSE_MS);
    this.#pauses(problem);
  }

  onFault(): void {
    // One connection was the reason; the listener goes on.
  }

  onTimer(): void {
    this.resume();
  }

  pause(): void {
    this.#loop.timers.cancel(this);
    this.#loop.remove(this);
  }

  resume(): void {
    if (!this.#loop.has(this)) this.#loop.add(this, READABLE);
  }

  close(): void {
    this.pause();
    closeSocket(this.fd);
  }
}
