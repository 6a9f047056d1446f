import type { Header } from '#codec/http2/field.ts';

import type { ByteOutput } from './byte-output.ts';
import { finishHead, type Outgoing, type RequestPlan, type ResponsePlan } from './write.ts';
import { writeHeaders } from './write-headers.ts';

/** The first value of a name in a list. */
export function valueOf(headers: readonly Header[], name: string): string | undefined {
  for (const header of headers) if (header[0] === name) return header[1];
  return undefined;
}

/** `:status` as a number; 0 without one. */
export function statusOf(headers: readonly Header[]): number {
  return Number(valueOf(headers, ':status') ?? 0);
}

/** Content-length as a number; -1 without one. */
export function contentLengthOf(headers: readonly Header[]): number {
  return Number(valueOf(headers, 'content-length') ?? -1);
}

/**
 * Writes a request of HTTP/2 as one of HTTP/1.1: Host from `:authority` (RFC 9113 section 8.3.1). False, and nothing
 * written, when there is no room.
 */
export function writeRequestHeaders(
  output: ByteOutput,
  headers: readonly Header[],
  plan: RequestPlan,
  outgoing: Outgoing,
): boolean {
  const begin = output.end;
  const method = valueOf(headers, ':method') ?? 'GET';
  const authority =
    plan.authority ?? valueOf(headers, ':authority') ?? valueOf(headers, 'host') ?? '';
  output.text(method);
  output.text(' ');
  output.text(plan.path ?? (method === 'CONNECT' ? authority : (valueOf(headers, ':path') ?? '/')));
  output.text(' HTTP/1.1\r\n');
  output.field('host', authority);
  writeHeaders(output, headers, plan.edits, outgoing.length === 'keep');
  finishHead(output, plan, outgoing);
  return output.undo(begin);
}

/** Writes a response of HTTP/2 as one of HTTP/1.1. False, and nothing written, when there is no room. */
export function writeResponseHeaders(
  output: ByteOutput,
  headers: readonly Header[],
  plan: ResponsePlan,
  outgoing: Outgoing,
): boolean {
  const begin = output.end;
  const status = valueOf(headers, ':status') ?? '500';
  output.text('HTTP/1.1 ');
  output.text(status);
  output.text(' ');
  output.text(REASONS.get(status) ?? '');
  output.text('\r\n');
  writeHeaders(output, headers, plan.edits, outgoing.length === 'keep');
  finishHead(output, plan, outgoing);
  return output.undo(begin);
}

/** For people who read along; nothing may depend on them (RFC 9112 section 4). */
const REASONS: ReadonlyMap<string, string> = new Map([
  ['100', 'Continue'],
  ['103', 'Early Hints'],
  ['200', 'OK'],
  ['201', 'Created'],
  ['202', 'Accepted'],
  ['204', 'No Content'],
  ['206', 'Partial Content'],
  ['301', 'Moved Permanently'],
  ['302', 'Found'],
  ['303', 'See Other'],
  ['304', 'Not Modified'],
  ['307', 'Temporary Redirect'],
  ['308', 'Permanent Redirect'],
  ['400', 'Bad Request'],
  ['401', 'Unauthorized'],
  ['403', 'Forbidden'],
  ['404', 'Not Found'],
  ['405', 'Method Not Allowed'],
  ['408', 'Request Timeout'],
  ['409', 'Conflict'],
  ['413', 'Content Too Large'],
  ['417', 'Expectation Failed'],
  ['429', 'Too Many Requests'],
  ['431', 'Request Header Fields Too Large'],
  ['500', 'Internal Server Error'],
  ['501', 'Not Implemented'],
  ['502', 'Bad Gateway'],
  ['503', 'Service Unavailable'],
  ['504', 'Gateway Timeout'],
  ['505', 'HTTP Version Not Supported'],
]);
