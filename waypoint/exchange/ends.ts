import type { RequestPlan, ResponsePlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';

import type { RequestMessage, ResponseMessage } from '../request/head.ts';

/** What both sides of an exchange can be told. Nothing here calls back before it returns. */
interface End {
  /** Bytes of the body written that nobody has taken yet. */
  readonly queued: number;
  /** While some are queued: memory is full, and they are more than their part of it. Whoever wrote them should give up. */
  readonly overflows: boolean;
  /** The next bytes of the body, valid during the call. */
  body(bytes: Buffer, start: number, end: number): void;
  /** The body is over. */
  finish(trailers: readonly Header[] | undefined): void;
  /** So many bytes of what it has sent us are done with. */
  consume(length: number): void;
}

/** Whoever asked. */
export interface ClientEnd extends End {
  /** An interim response (1xx, not 101). */
  interim(status: number, fields: readonly Header[]): void;
  /** The final response; {@link finish} follows at once when it has no body. */
  respond(response: ResponseMessage, plan: ResponsePlan): void;
  /** The response can't be completed: the client must see that it is cut. `finish` and `body` are ignored from then on. */
  abort(): void;
}

/** Told what the client does. */
export interface ClientUser {
  onRequestBody(bytes: Buffer, start: number, end: number): void;
  onRequestEnd(trailers: readonly Header[] | undefined): void;
  /** What was queued for the client has been taken. */
  onClientDrained(): void;
  /** It went away; nothing can be told to it any more. */
  onClientGone(reason: string): void;
  /** Comes now and then, so that what does not move any more is noticed. */
  look(nowMs: number): void;
}

/** Whoever answers. */
export interface ServerEnd extends End {
  /** {@link finish} follows at once when the request has no body. False: it takes none any more, nothing was sent. */
  request(request: RequestMessage, plan: RequestPlan): boolean;
  /** The answer is not wanted any more. Nothing is told to the user from then on. */
  cancel(): void;
}

/** Why an answer does not come, or not to its end. */
export interface ServerFailure {
  /**
   * `refused`: the server has not looked at the request. `stale`: a connection that had served before was closed
   * without an answer, most likely before the request came. `broken`: it may have been looked at.
   */
  readonly kind: 'refused' | 'stale' | 'broken';
  readonly reason: string;
}

/** Told what the server answers. */
export interface ServerUser {
  onInterim(status: number, fields: readonly Header[]): void;
  onResponse(response: ResponseMessage): void;
  onResponseBody(bytes: Buffer, start: number, end: number): void;
  onResponseEnd(trailers: readonly Header[] | undefined): void;
  onServerDrained(): void;
  onServerGone(failure: ServerFailure): void;
}
