import type { Header } from '#codec/http2/field.ts';

import type { RequestMessage, ResponseMessage } from '../request/head.ts';

/** An answer of our own. */
export class LocalResponse implements ResponseMessage {
  readonly http1 = undefined;
  readonly status: number;
  readonly contentLength: number;
  readonly hasBody: boolean;
  readonly bytes: Buffer;
  readonly #fields: readonly Header[];

  constructor(
    request: RequestMessage,
    answer: { readonly status: number; readonly fields: readonly Header[]; readonly body: string },
  ) {
    const grpc = isGrpc(request);
    const text = grpc || request.method === 'HEAD' ? '' : answer.body;
    this.bytes = Buffer.from(text);
    this.contentLength = this.bytes.length;
    this.hasBody = this.bytes.length > 0;
    // A gRPC client reads the status of the call, not of the transport (gRPC over HTTP/2, "Trailers-Only").
    this.status = grpc ? 200 : answer.status;
    this.#fields = grpc
      ? [
          ['content-type', 'application/grpc'],
          ['grpc-status', String(grpcStatusOf(answer.status))],
          ['grpc-message', percentEncoded(answer.body)],
        ]
      : [
          ...answer.fields,
          ['content-length', String(this.bytes.length)],
          ...(text === '' ? [] : [['content-type', 'text/plain'] satisfies Header]),
        ];
  }

  fields(): readonly Header[] {
    return this.#fields;
  }

  header(name: string): string | undefined {
    return this.#fields.find(([one]) => one === name)?.[1];
  }
}

/** gRPC itself, with any encoding of its messages; gRPC-Web is plain HTTP to everybody in between. */
export function isGrpc(message: { header(name: string): string | undefined }): boolean {
  const type = message.header('content-type');
  if (type?.startsWith(GRPC_TYPE) !== true) return false;
  const next = type[GRPC_TYPE.length];
  return next === undefined || next === '+' || next === ';' || next === ' ';
}

const GRPC_TYPE = 'application/grpc';

/** The status that a gRPC client makes of an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping"). */
function grpcStatusOf(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** As gRPC wants its messages: printable ASCII without "%" stays. */
function percentEncoded(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
}
