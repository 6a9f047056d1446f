import { dropsName } from '#codec/http1/edits.ts';
import type { RequestPlan, ResponsePlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';

import type { RequestMessage, ResponseMessage } from '../request/head.ts';

/** What every HTTP/2 message is: a list of fields, of which the codec has checked that they may be together. */
abstract class Http2Message {
  readonly http1 = undefined;
  readonly contentLength: number;
  readonly hasBody: boolean;
  readonly #fields: readonly Header[];

  constructor(headers: readonly Header[], endStream: boolean) {
    this.#fields = headers.filter(([name]) => name.charCodeAt(0) !== COLON);
    this.hasBody = !endStream;
    const length = this.header('content-length');
    this.contentLength = length === undefined ? -1 : Number(length);
  }

  fields(): readonly Header[] {
    return this.#fields;
  }

  header(name: string): string | undefined {
    let value: string | undefined;
    for (const [one, text] of this.#fields) {
      if (one !== name) continue;
      value = value === undefined ? text : `${value}${name === 'cookie' ? '; ' : ', '}${text}`;
    }
    return value;
  }

  headerLines(name: string): readonly string[] {
    return this.#fields.flatMap(([one, text]) => (one === name ? [text] : []));
  }
}

const COLON = 0x3a;

export class Http2Request extends Http2Message implements RequestMessage {
  readonly protocol = 'HTTP/2';
  readonly upgrade = '';
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  path: string;

  constructor(headers: readonly Header[], endStream: boolean) {
    super(headers, endStream);
    const pseudo = (name: string): string | undefined => headers.find(([one]) => one === name)?.[1];
    this.method = pseudo(':method') ?? '';
    this.scheme = pseudo(':scheme')?.toLowerCase() === 'https' ? 'https' : 'http';
    this.authority = pseudo(':authority') ?? this.header('host') ?? '';
    this.path = pseudo(':path') ?? '';
  }
}

export class Http2Response extends Http2Message implements ResponseMessage {
  readonly status: number;

  constructor(headers: readonly Header[], endStream: boolean) {
    super(headers, endStream);
    this.status = Number(headers.find(([name]) => name === ':status')?.[1]);
  }
}

/** A request as HTTP/2 sends it (RFC 9113 section 8.3.1). */
export function requestHeaders(request: RequestMessage, plan: RequestPlan): Header[] {
  const headers: Header[] = [
    [':method', request.method],
    [':scheme', request.scheme],
    [':authority', plan.authority ?? request.authority],
    [':path', plan.path ?? request.path],
  ];
  return addFields(headers, request.fields(), plan);
}

/** A response as HTTP/2 sends it (section 8.3.2). */
export function responseHeaders(response: ResponseMessage, plan: ResponsePlan): Header[] {
  return addFields([[':status', String(response.status)]], response.fields(), plan);
}

function addFields(
  headers: Header[],
  fields: readonly Header[],
  { edits, extra }: RequestPlan | ResponsePlan,
): Header[] {
  for (const field of fields) {
    // Its place is `:authority`.
    if (field[0] === 'host') continue;
    if (edits === undefined || !dropsName(edits, field[0])) headers.push(field);
  }
  if (edits !== undefined) headers.push(...edits.appended);
  if (extra !== undefined) headers.push(...extra);
  return headers;
}
