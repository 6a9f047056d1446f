import type { RequestPlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';

import type { ServerEnd, ServerUser } from '../exchange/ends.ts';
import type { RequestMessage } from '../request/head.ts';
import { Http2End } from './http2-end.ts';
import { Http2Response, requestHeaders } from './http2-messages.ts';
import type { Http2Session } from './http2-session.ts';

// RFC 9113 section 7.
const NO_ERROR = 0x0;
const REFUSED_STREAM = 0x7;
const CANCEL = 0x8;

/** A server that gets our request as a stream of a session in which we are the client. */
class Http2ServerStream extends Http2End {
  readonly #user: ServerUser;
  #responded = false;
  #ended = false;

  constructor(session: Http2Session, stream: Http2Stream, user: ServerUser) {
    super(session, stream, false);
    this.#user = user;
  }

  /** The request had no body. */
  requestEnded(): void {
    this.sentAll();
  }

  cancel(): void {
    this.reset(CANCEL);
  }

  onHeaders(headers: readonly Header[], endStream: boolean): void {
    if (this.#responded) {
      if (endStream) this.peerFinished(headers);
      return;
    }
    const response = new Http2Response(headers, endStream);
    if (response.status < 200) {
      this.#user.onInterim(response.status, response.fields());
      return;
    }
    this.#responded = true;
    this.#user.onResponse(response);
    if (endStream) this.peerFinished(undefined);
  }

  protected received(bytes: Buffer, start: number, end: number): void {
    this.#user.onResponseBody(bytes, start, end);
  }

  protected ended(trailers: readonly Header[] | undefined): void {
    this.#ended = true;
    this.#user.onResponseEnd(trailers);
  }

  protected drained(): void {
    this.#user.onServerDrained();
  }

  protected wasReset(code: number, byPeer: boolean): void {
    // All of the answer is here, and the rest of the request is not wanted (RFC 9113 section 8.1).
    if (this.#ended && code === NO_ERROR) return;
    const who = byPeer ? 'the server has reset the stream' : 'the server broke a rule of HTTP/2';
    const kind = byPeer && code === REFUSED_STREAM ? 'refused' : 'broken';
    this.#user.onServerGone({ kind, reason: `${who} (HTTP/2 code ${code})` });
  }

  protected sessionGone(reason: string): void {
    this.#user.onServerGone({ kind: 'broken', reason });
  }
}

/** The place for one request on a session; see {@link Http2ServerStream}. */
export class Http2ServerEnd implements ServerEnd {
  readonly #session: Http2Session;
  readonly #user: ServerUser;
  #stream: Http2ServerStream | undefined;

  constructor(session: Http2Session, user: ServerUser) {
    this.#session = session;
    this.#user = user;
  }

  get queued(): number {
    return this.#stream?.queued ?? 0;
  }

  get overflows(): boolean {
    return this.#stream?.overflows === true;
  }

  request(request: RequestMessage, plan: RequestPlan): boolean {
    const headers = requestHeaders(request, plan);
    const stream = this.#session.openStream(headers, !request.hasBody);
    if (stream === undefined) return false;
    this.#stream = new Http2ServerStream(this.#session, stream, this.#user);
    if (!request.hasBody) this.#stream.requestEnded();
    return true;
  }

  body(bytes: Buffer, start: number, end: number): void {
    this.#stream?.body(bytes, start, end);
  }

  finish(trailers: readonly Header[] | undefined): void {
    this.#stream?.finish(trailers);
  }

  consume(length: number): void {
    this.#stream?.consume(length);
  }

  cancel(): void {
    this.#stream?.cancel();
  }
}
