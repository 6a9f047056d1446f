import type { Event } from '#tests/unit/codec/http1/recorder.ts';

/** What an HTTP/1 parser says about one message. */
export interface Message {
  /** Of a request. */
  method: string;
  /** Of a request; the status of a response. */
  target: string;
  body: string;
  ended: boolean;
}

/** llhttp as node:http uses it, which reaches it through a module that has no types. */
interface Parser {
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | (Error & { readonly code: string });
  [callback: number]: unknown;
}
interface ParserClass {
  new (): Parser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

const common = process.getBuiltinModule('_http_common') as unknown as {
  readonly HTTPParser: ParserClass;
  readonly methods: readonly string[];
};

/** What llhttp sees in these bytes, up to its error. */
export function llhttpMessages(
  bytes: Buffer,
  kind: 'request' | 'response' = 'request',
): { messages: Message[]; error: string | undefined } {
  const { HTTPParser, methods } = common;
  const messages: Message[] = [];
  const parser = new HTTPParser();
  parser.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 0, 0);
  let longUrl = '';
  // More fields than it hands over at once come before; then the target comes with the first of them.
  parser[HTTPParser.kOnHeaders] = (_: unknown, url: string) => {
    longUrl += url;
  };
  // oxlint-disable-next-line max-params -- as the parser calls it
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    _fields: unknown,
    method: number,
    url: string | undefined,
    status: number,
  ) => {
    const isRequest = kind === 'request';
    const target = isRequest ? (url ?? longUrl) : String(status);
    const name = isRequest ? (methods[method] ?? '') : '';
    messages.push({ method: name, target, body: '', ended: false });
    return 0;
  };
  parser[HTTPParser.kOnBody] = (piece: Buffer) => {
    const message = messages.at(-1);
    if (message !== undefined) message.body += piece.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const message = messages.at(-1);
    if (message !== undefined) message.ended = true;
    longUrl = '';
  };
  // It stops behind a request that asks for another protocol; here nobody lets it have one.
  for (let at = 0; at < bytes.length; ) {
    const result = parser.execute(bytes.subarray(at));
    if (typeof result !== 'number') return { messages, error: result.code };
    if (result === 0) return { messages, error: 'it goes no further' };
    at += result;
  }
  return { messages, error: undefined };
}

/** The same from the events of our client. */
export function messagesOf(events: readonly Event[]): Message[] {
  const messages: Message[] = [];
  for (const event of events) {
    const message = messages.at(-1);
    if (event[0] === 'response') {
      // An interim response is a message for llhttp.
      if (message !== undefined) message.ended = true;
      messages.push({ method: '', target: String(event[1]), body: '', ended: false });
    } else if (message !== undefined && event[0] === 'body') message.body += event[1];
    else if (message !== undefined && event[0] === 'end') message.ended = true;
  }
  return messages;
}
