import { sendProgress } from './socket.ts';

/**
 * How long a peer may take nothing of what waits for it. It may send all the while: what it doesn't read is
 * memory of ours. Any byte that its kernel acknowledges counts, so that a slow reader is none.
 */
export const WRITE_STALL_MS = 60_000;

/**
 * Sees whether the other end of a socket takes what waits for it. Looks at the kernel's own figures: what a socket
 * has room for again comes in large steps only.
 */
export class SendWatch {
  #takenMs: number | undefined;
  #acknowledgedBytes = 0n;
  #queuedBytes = 0;

  /**
   * Milliseconds since the peer took something the last time, as far as the calls have seen it; undefined when
   * nothing waits for it. `queuedBytes` wait for the socket itself.
   */
  waitedMs(fd: number, queuedBytes: number, nowMs: number): number | undefined {
    const progress = sendProgress(fd);
    if (queuedBytes === 0 && progress?.waits !== true) {
      this.#takenMs = undefined;
      return undefined;
    }
    const acknowledgedBytes = progress?.acknowledgedBytes ?? 0n;
    const taken = acknowledgedBytes !== this.#acknowledgedBytes || queuedBytes < this.#queuedBytes;
    if (this.#takenMs === undefined || taken) this.#takenMs = nowMs;
    this.#acknowledgedBytes = acknowledgedBytes;
    this.#queuedBytes = queuedBytes;
    return nowMs - this.#takenMs;
  }
}
