import type { Header } from './field.ts';
import type { Http2Stream } from './stream-state.ts';

/**
 * What a connection tells its user. Called synchronously from `receive()`; only `onConnectionError` also comes from
 * sending methods, when not even a control frame finds room. A handler may send, consume and reset, on any
 * stream; it must not call `receive()` or `export()` of the same connection, and must not throw: what was being read is
 * lost then, and the connection with it.
 */
export interface Http2Events {
  /**
   * Server: a new request, or, with `stream.headersSeen`, its trailers. Client: the response; before it any
   * number of interim ones (1xx); or, with `stream.headersSeen`, the trailers.
   */
  onHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void;
  /**
   * The next piece of a stream's data, valid during the call. A frame comes in as many pieces as the input;
   * padding is taken out. `endStream` comes with the last piece, which is empty when the peer ended the stream
   * with an empty frame.
   */
  // oxlint-disable-next-line max-params -- once per chunk: an object would be an allocation each
  onData(stream: Http2Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void;
  /**
   * The stream is gone: the peer has reset it, or this side had to because the peer broke a rule. Not called
   * for `reset()`: whoever calls that knows.
   */
  onReset(stream: Http2Stream, code: number, byPeer: boolean): void;
  /** A send window was used up and is open again: the stream's, or the connection's when undefined. */
  onSendWindow(stream: Http2Stream | undefined): void;
  /** The peer's SETTINGS have come in and hold from now on. */
  onPeerSettings(): void;
  /** The answer to `ping(payload)`. */
  onPong(payload: number): void;
  /**
   * The peer ends the connection: it takes no new streams. Those of ours above `lastStreamId` get
   * `onReset(REFUSED_STREAM)` right after; the others go on.
   */
  onGoaway(lastStreamId: number, code: number, debug: string): void;
  /** A connection error, ours to report: GOAWAY lies in the output. Flush it and close; nothing works any more. */
  onConnectionError(code: number, reason: string): void;
}
