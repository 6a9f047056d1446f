import type { Head } from '#codec/http1/head.ts';
import type { Header } from '#codec/http2/field.ts';

/** What rules read of a request, whatever protocol it came by. */
export interface RequestHead {
  /** As sent. */
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** Host or `:authority`, as sent. */
  readonly authority: string;
  /** Path and query, or "*"; normalised before anything reads it. */
  readonly path: string;
  /** `name`: lower-case. Several lines are joined by ", ". */
  header(name: string): string | undefined;
  /** Each line for itself. */
  headerLines(name: string): readonly string[];
}

/** What either kind of message can be asked for when it is passed on. */
export interface Message {
  /** As it came by HTTP/1; undefined for HTTP/2. A request's lives as long as its exchange, a response's during the call. */
  readonly http1: Head | undefined;
  /** Its fields without those that end here, in order, names in lower case, no pseudo headers. */
  fields(): readonly Header[];
  /** -1: not known before its end. */
  readonly contentLength: number;
  /** Something follows the head: a body, trailers, or at least their end. */
  readonly hasBody: boolean;
}

export interface RequestMessage extends RequestHead, Message {
  path: string;
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** Asks for another protocol on this connection; lower-case, empty without one. */
  readonly upgrade: string;
}

export interface ResponseMessage extends Message {
  readonly status: number;
  header(name: string): string | undefined;
}
