import { ReceiveWindow } from './flow-control.ts';

/**
 * The life of a stream (RFC 9113 section 5.1). Idle streams have no object, closed ones are forgotten by the
 * connection; whoever still holds a closed one may call anything with it, nothing happens.
 *
 *   idle ── headers ──▶ open ── our end ──▶ half-closed-local ── peer's end ──▶ closed
 *                        ├── peer's end ──▶ half-closed-remote ── our end ────────▶ │
 *                        └───────────────── a reset, from either side ────────────▶ │
 *
 * For the connection a stream that both sides have ended is closed only when its last byte is consumed.
 */
export type StreamState = 'open' | 'half-closed-local' | 'half-closed-remote' | 'closed';

/** One open stream. The user of the codec reads it and sets `owner`; everything else is changed by the connection. */
export class Http2Stream {
  readonly id: number;
  /** Whatever the user of the codec wants to find again in the events. Not exported. */
  owner: unknown = undefined;
  /** Bytes that we may still send; negative after the peer made its initial window smaller. */
  sendWindow: number;
  /** Bytes received and not yet consumed. */
  unconsumed = 0;
  readonly receive: ReceiveWindow;
  /** We have sent END_STREAM. */
  localEnded = false;
  /** The peer has sent END_STREAM. */
  remoteEnded = false;
  /** Both sides have ended it, and it is kept for its bytes. */
  lingering = false;
  /** The connection has forgotten this stream. */
  closed = false;
  /** The request's or final response's headers have come in: the next ones are trailers. */
  headersSeen = false;
  /** We have sent the request or the final response. */
  headersSent = false;
  /** A CONNECT that has not been refused. */
  tunnel = false;
  /** The request is a HEAD: its response has no body, whatever content-length says. */
  head = false;
  /** When it was opened, on the clock of the connection's guards. */
  openedAtMs = 0;
  /** Bytes that content-length still promises; -1 when nothing was promised. */
  contentLeft = -1;

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receive = new ReceiveWindow(receiveWindow);
  }

  get state(): StreamState {
    if (this.closed) return 'closed';
    if (this.localEnded) return 'half-closed-local';
    return this.remoteEnded ? 'half-closed-remote' : 'open';
  }

  /** Nothing comes or goes any more; what has come may still wait to be consumed. */
  get bothEnded(): boolean {
    return this.localEnded && this.remoteEnded;
  }

  /** May DATA or headers still be sent? Whether there is window for it is another question. */
  get canSend(): boolean {
    return !this.localEnded && !this.closed;
  }
}

/** A stream as plain data. */
export interface Http2StreamState {
  readonly id: number;
  readonly sendWindow: number;
  readonly unconsumed: number;
  readonly receiveLeft: number;
  readonly receiveCredit: number;
  readonly localEnded: boolean;
  readonly remoteEnded: boolean;
  readonly headersSeen: boolean;
  readonly headersSent: boolean;
  readonly tunnel: boolean;
  readonly head: boolean;
  readonly contentLeft: number;
  readonly openedAtMs: number;
}

export function exportStream(stream: Http2Stream): Http2StreamState {
  return {
    id: stream.id,
    sendWindow: stream.sendWindow,
    unconsumed: stream.unconsumed,
    receiveLeft: stream.receive.left,
    receiveCredit: stream.receive.credit,
    localEnded: stream.localEnded,
    remoteEnded: stream.remoteEnded,
    headersSeen: stream.headersSeen,
    headersSent: stream.headersSent,
    tunnel: stream.tunnel,
    head: stream.head,
    contentLeft: stream.contentLeft,
    openedAtMs: stream.openedAtMs,
  };
}

export function restoreStream(state: Http2StreamState): Http2Stream {
  const stream = new Http2Stream(state.id, state.sendWindow, state.receiveLeft);
  stream.receive.credit = state.receiveCredit;
  stream.unconsumed = state.unconsumed;
  stream.localEnded = state.localEnded;
  stream.remoteEnded = state.remoteEnded;
  stream.headersSeen = state.headersSeen;
  stream.headersSent = state.headersSent;
  stream.tunnel = state.tunnel;
  stream.head = state.head;
  stream.contentLeft = state.contentLeft;
  stream.openedAtMs = state.openedAtMs;
  return stream;
}
