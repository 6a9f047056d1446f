import type { Http1Fault } from './faults.ts';
import type { Head } from './head.ts';

/**
 * What one side of a connection tells its user: requests to a server, responses to a client. Called synchronously
 * from `receive()` and `receiveEnd()`. A handler may send, pause and stop; it must not call `receive()` or `export()`
 * of the same connection, and must not throw.
 */
export interface Http1Events {
  /**
   * A request; or a response, before which any number of interim ones (status below 200, without 101) may come.
   * `head` is valid during the call. `head.framing` says which body follows: with `none` comes `onEnd` at once.
   */
  onHead(head: Head): void;
  /** The next piece of the body, or of what follows an upgrade or a CONNECT. Never empty; valid during the call. */
  onBody(bytes: Buffer, start: number, end: number): void;
  /** The end of the message; after an upgrade or a CONNECT, of what the peer sends. `trailers`: valid during the call. */
  onEnd(trailers: Head | undefined): void;
  /**
   * The peer has broken a rule, or the connection ends in the middle of something. Nothing more is received. A server
   * that has not begun its response sends one with `faultStatus(fault)`; then the connection is to be closed.
   */
  onFault(fault: Http1Fault): void;
}
