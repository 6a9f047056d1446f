import type { IncomingHttpHeaders } from 'node:http';

import { stringify } from 'yaml';

import type { UserInfo } from './authentication.ts';
import type { Status } from './errors.ts';
import { JSON_TYPE, YAML_TYPE } from './negotiation.ts';
import type { RequestInfo } from './request-info.ts';

/** One request, known as far as its sender and what it is about. */
export interface ApiRequest {
  readonly method: string;
  /** Without the query, as it was sent. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly info: RequestInfo;
  readonly user: UserInfo;
  /** Aborted when the client goes away or the server stops. */
  readonly signal: AbortSignal;
  /** The whole body. @throws ApiError 413 when it is too large. */
  body(): Promise<Buffer>;
  /** Adds a `warning` header, which kubectl shows. */
  warn(text: string): void;
}

/** What answers use of a response, in either version of HTTP. */
export interface ApiResponse {
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  /** Bytes that wait to be sent. */
  readonly writableLength: number;
  writeHead(code: number, headers: ResponseHeaders): unknown;
  write(chunk: string | Uint8Array): boolean;
  end(chunk?: string | Uint8Array): unknown;
  destroy(): unknown;
  on(event: 'close' | 'drain', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

export type Answer =
  | {
      readonly kind: 'object';
      readonly code: number;
      readonly object: unknown;
      readonly yaml?: boolean;
    }
  | {
      readonly kind: 'bytes';
      readonly code: number;
      readonly contentType: string;
      readonly body: string | Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Writes head and body by itself, for as long as it likes; the warnings are headers for its head. */
  | {
      readonly kind: 'stream';
      readonly run: (response: ApiResponse, headers: ResponseHeaders) => void;
    };

export type ResponseHeaders = Readonly<Record<string, string | string[]>>;

/** A warning longer than this is cut: headers are bounded. */
const WARNING_LENGTH_MAX = 1024;
const WARNINGS_MAX = 32;

export function objectAnswer(object: unknown, code = 200): Answer {
  return { kind: 'object', code, object };
}

export function textAnswer(body: string, code = 200): Answer {
  return { kind: 'bytes', code, contentType: 'text/plain; charset=utf-8', body };
}

export function statusAnswer(status: Status): Answer {
  return { kind: 'object', code: status.code ?? 500, object: status };
}

/** Writes an answer and ends the response, unless the answer is a stream. */
export function sendAnswer(
  response: ApiResponse,
  answer: Answer,
  warnings: readonly string[],
): void {
  const headers: Record<string, string | string[]> = { 'cache-control': 'no-cache, private' };
  if (warnings.length > 0) headers['warning'] = warnings.slice(0, WARNINGS_MAX).map(warningHeader);
  if (answer.kind === 'stream') {
    answer.run(response, headers);
    return;
  }
  const body = bodyOf(answer);
  headers['content-type'] = contentTypeOf(answer);
  headers['content-length'] = String(Buffer.byteLength(body));
  if (answer.kind === 'bytes') Object.assign(headers, answer.headers);
  const retryAfter = retryAfterSeconds(answer);
  if (retryAfter !== undefined) headers['retry-after'] = String(retryAfter);
  response.writeHead(answer.code, headers);
  response.end(body);
}

function bodyOf(answer: Exclude<Answer, { kind: 'stream' }>): string | Uint8Array {
  if (answer.kind === 'bytes') return answer.body;
  return answer.yaml === true ? stringify(answer.object) : JSON.stringify(answer.object);
}

function contentTypeOf(answer: Exclude<Answer, { kind: 'stream' }>): string {
  if (answer.kind === 'bytes') return answer.contentType;
  return answer.yaml === true ? YAML_TYPE : JSON_TYPE;
}

function retryAfterSeconds(answer: Answer): number | undefined {
  if (answer.kind !== 'object' || answer.code < 400) return undefined;
  return (answer.object as Status).details?.retryAfterSeconds;
}

/** RFC 9111 section 5.5 as it was in RFC 7234: code 299, no agent, quoted text. */
function warningHeader(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?').slice(0, WARNING_LENGTH_MAX);
  return `299 - "${printable.replace(/["\\]/g, '\\$&')}"`;
}
