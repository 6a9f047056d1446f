import { type SendWatch, WRITE_STALL_MS } from '../send-watch.ts';

/**
 * How long we wait for the peer's end after ours: from the moment that it has everything, and again when it has
 * said something meanwhile. Then it has not read everything yet, and a closed socket would answer it with a reset.
 */
export const CLOSE_TIMEOUT_MS = 1_000;

/** Decides, every {@link CLOSE_TIMEOUT_MS}, whether a connection that we have ended waits on for its peer's end. */
export class CloseWait {
  /** The peer has sent something. */
  heard = false;
  readonly #sending: SendWatch;
  #allTakenMs: number | undefined;

  constructor(sending: SendWatch) {
    this.#sending = sending;
  }

  /** `queuedBytes` wait for the socket `fd`. `peerEnded`: the peer has said that it sends no more. */
  goesOn(
    socket: { readonly fd: number; readonly queuedBytes: number; readonly peerEnded: boolean },
    nowMs: number,
  ): boolean {
    const waitedMs = this.#sending.waitedMs(socket.fd, socket.queuedBytes, nowMs);
    if (waitedMs !== undefined) {
      this.#allTakenMs = undefined;
      return waitedMs < WRITE_STALL_MS;
    }
    this.#allTakenMs ??= nowMs;
    const reads = this.heard && !socket.peerEnded;
    this.heard = false;
    // Who only talks is not listened to for ever.
    return reads && nowMs - this.#allTakenMs < WRITE_STALL_MS;
  }
}
