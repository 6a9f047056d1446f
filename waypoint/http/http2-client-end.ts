import type { ResponsePlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';

import type { ClientEnd, ClientUser } from '../exchange/ends.ts';
import type { ResponseMessage } from '../request/head.ts';
import { Http2End } from './http2-end.ts';
import { responseHeaders } from './http2-messages.ts';

// RFC 9113 section 7.
const NO_ERROR = 0x0;
const INTERNAL_ERROR = 0x2;
/** Of a request whose answer is complete: more is worth a reset. */
const UNWANTED_BYTES_MAX = 65_536;

/** A client whose request came as a stream of a session in which we are the server. */
export class Http2ClientEnd extends Http2End implements ClientEnd {
  user!: ClientUser;
  #unwanted = 0;
  #finished = false;

  interim(status: number, fields: readonly Header[]): void {
    if (!this.isOpen) return;
    this.session.sendHeaders(this.stream, [[':status', String(status)], ...fields], false);
  }

  respond(response: ResponseMessage, plan: ResponsePlan): void {
    if (!this.isOpen) return;
    const ends = !response.hasBody;
    this.session.sendHeaders(this.stream, responseHeaders(response, plan), ends);
    if (!ends) return;
    this.#finished = true;
    this.sentAll();
  }

  override finish(trailers: readonly Header[] | undefined): void {
    super.finish(trailers);
    this.#finished = true;
  }

  abort(): void {
    this.reset(INTERNAL_ERROR);
  }

  // --- Http2End

  override look(nowMs: number): void {
    if (this.isOpen) this.user.look(nowMs);
  }

  onHeaders(headers: readonly Header[], endStream: boolean): void {
    // Only trailers come after the request's head, and they end it.
    if (endStream) this.peerFinished(headers);
  }

  protected received(bytes: Buffer, start: number, end: number): void {
    if (!this.#finished) {
      this.user.onRequestBody(bytes, start, end);
      return;
    }
    // What comes behind a complete answer is not needed (RFC 9113 section 8.1), but may be on its way already.
    this.consume(end - start);
    this.#unwanted += end - start;
    if (this.#unwanted > UNWANTED_BYTES_MAX) this.reset(NO_ERROR);
  }

  protected ended(trailers: readonly Header[] | undefined): void {
    this.user.onRequestEnd(trailers);
  }

  protected drained(): void {
    this.user.onClientDrained();
  }

  protected wasReset(code: number): void {
    this.user.onClientGone(`the client has reset the stream (HTTP/2 code ${code})`);
  }

  protected sessionGone(reason: string): void {
    this.user.onClientGone(reason);
  }
}
