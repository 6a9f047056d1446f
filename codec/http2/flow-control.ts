import { MAX_31_BITS } from './frame.ts';

/**
 * What the peer may send us, on one stream or on the connection (RFC 9113 section 5.2).
 *
 * Credit goes back when the application has taken the bytes, not when they arrive: so a slow application
 * slows its peer, end to end. It is collected and announced in large steps, which costs small traffic no
 * frame at all.
 */
export class ReceiveWindow {
  /** What the peer may still send, as far as it knows. Negative only after a flow-control error. */
  left: number;
  /** Consumed by the application and not announced yet. */
  credit = 0;

  constructor(left: number) {
    this.left = left;
  }

  /** The peer has been told: its window grows by the credit. Returns the increment. */
  announce(): number {
    const increment = this.credit;
    this.left += increment;
    this.credit = 0;
    return increment;
  }
}

/** Would this increment bring a send window above 2^31-1 (RFC 9113 section 6.9.1)? */
export function overflows(window: number, increment: number): boolean {
  return window + increment > MAX_31_BITS;
}

/** Credit that is worth a WINDOW_UPDATE for a window of this size. */
export function creditThreshold(windowSize: number, share: number): number {
  return Math.max(1, Math.floor(windowSize * share));
}
