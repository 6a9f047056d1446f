import type { Slab } from '../memory.ts';
import type { PeerCertificate } from './peer-certificate.ts';

/** How a connection has ended. */
export type TlsEnd =
  /** The peer has said that it is done (close_notify). */
  | { readonly kind: 'closed' }
  /** FIN without close_notify: somebody may have cut the stream. */
  | { readonly kind: 'truncated' }
  /** The peer has refused us. */
  | { readonly kind: 'alert'; readonly code: number; readonly name: string }
  /** A system call failed (its errno name), or we refuse the peer (`TLS_…`). */
  | { readonly kind: 'error'; readonly code: string; readonly message: string };

/** The owner of a connection. All calls are synchronous and must not throw. */
export interface TlsEvents {
  /**
   * The handshake is done. A text refuses the peer: it gets a fatal alert (access_denied), then
   * `onTlsEnd` comes. No application byte has been delivered, and a client has not sent its own
   * certificate yet. What is written here leaves together with the last flight.
   */
  onTlsOpen(peer: PeerCertificate): string | undefined;
  /** `slab.bytes[start, end)` is application data, valid during the call. */
  onPlaintext(slab: Slab, start: number, end: number): void;
  /** All that was queued has been written: `blocked` is false again. */
  onTlsDrained(): void;
  /** Exactly once, except after `destroy()` and `release()`; the descriptor is closed. */
  onTlsEnd(end: TlsEnd): void;
}
