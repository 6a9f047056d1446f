import type { Header } from '#codec/http2/field.ts';
import { invariant } from '#common/assert.ts';

import { BodyWriter, type BodyWriterState } from './body-writer.ts';
import type { ByteOutput } from './byte-output.ts';
import type { Http1Events } from './events.ts';
import type { Http1Fault } from './faults.ts';
import type { BodyFraming, Head } from './head.ts';
import {
  type HeadTables,
  MessageReader,
  type MessageReaderState,
  type MessageSink,
} from './message-reader.ts';
import { type Http1Options, http1Options } from './options.ts';
import { NO_PLAN, type Outgoing, type RequestPlan, writeRequestHead } from './write.ts';
import { contentLengthOf, valueOf, writeRequestHeaders } from './write-lists.ts';

/**
 * The client's side of one HTTP/1 connection, without I/O: requests go out, responses come in, one exchange after the
 * other; nothing is sent ahead. What comes without having been asked for is a fault: it would be taken for the answer
 * to somebody else's request.
 */
export class Http1Client implements MessageSink {
  readonly #options: Required<Http1Options>;
  readonly #reader: MessageReader;
  readonly #body: BodyWriter = new BodyWriter();
  readonly #events: Http1Events;
  #request: SentRequest | undefined;
  #raw = false;
  #interim = 0;
  #begun = false;
  /** The connection goes on after this exchange. */
  #persistent = true;
  #inputEnded = false;
  #receiving = false;

  /** `tables`: of kind "response", shared by all clients of a worker. */
  constructor(options: Http1Options, tables: HeadTables, events: Http1Events) {
    this.#options = http1Options(options);
    this.#reader = new MessageReader(this.#options, tables, this);
    this.#reader.stage = 'ended';
    this.#events = events;
  }

  /** May the next request be sent? Not from within an event: what follows a response must have been looked at. */
  get reusable(): boolean {
    return this.#request === undefined && this.#persistent && !this.#receiving && this.#body.ended;
  }

  /** Everything has been sent that ever will be, after a change of protocols: end the sending side. */
  get sendingEnded(): boolean {
    return this.#raw && this.#body.ended;
  }

  /** Nothing is to be sent or received any more: close. */
  get finished(): boolean {
    if (this.#raw) return this.#body.ended && this.#inputEnded;
    return this.#request === undefined && !this.#persistent;
  }

  /** Something came in after the last request was sent: a request that failed before that may be tried elsewhere. */
  get responseBegun(): boolean {
    return this.#begun;
  }

  /** Bytes of the response's body so far. */
  get bodyBytes(): number {
    return this.#reader.bodyBytes;
  }

  /** Would `receive()` take bytes? */
  get wantsInput(): boolean {
    return !this.#reader.paused && this.#reader.stage !== 'stopped';
  }

  /** `receive()` stops behind the current event, until `resume()`. */
  pause(): void {
    this.#reader.paused = true;
  }

  resume(): void {
    this.#reader.paused = false;
  }

  /** Takes the next bytes from the server. Returns up to where: less than `end` after `pause()` or a fault. */
  receive(bytes: Buffer, start: number, end: number): number {
    if (this.#reader.stage === 'stopped') return start;
    this.#receiving = true;
    this.#begun ||= end > start;
    const at = this.#reader.read(bytes, start, end);
    if (at < end && this.#reader.stage === 'ended') this.#fault('unsolicitedResponse');
    this.#receiving = false;
    return at;
  }

  /** The server sends nothing more. Call when `receive()` has taken everything. */
  receiveEnd(): void {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#persistent = false;
    const waiting = this.#reader.stage === 'head' && !this.#reader.insideHead;
    if (waiting) this.#fault('noResponse');
    else this.#reader.readEnd();
  }

  /**
   * Sends the head of a request as it came from an HTTP/1 client, in origin form and with the same framing. False, and
   * nothing sent, when there is no room.
   */
  sendHead(output: ByteOutput, head: Head, plan: RequestPlan = NO_PLAN): boolean {
    const { framing, upgrade, acceptsTrailers } = head;
    const keepsLength = head.contentLength >= 0 && framing !== 'chunked';
    const outgoing: Outgoing = {
      framing,
      connection: connectionOptions(acceptsTrailers, upgrade),
      upgrade,
      trailers: acceptsTrailers,
      length: keepsLength ? 'keep' : 'drop',
    };
    invariant(this.reusable, 'a request is sent when the connection is free');
    if (!writeRequestHead(output, head, plan, outgoing)) return false;
    this.#begin(head.method, upgrade, framing, head.contentLength);
    return true;
  }

  /**
   * The same with a list of fields, as it came from an HTTP/2 client. `ended`: no body follows; `sendEnd()` is called
   * all the same.
   */
  sendHeaders(
    output: ByteOutput,
    headers: readonly Header[],
    ended: boolean,
    plan: RequestPlan = NO_PLAN,
  ): boolean {
    const method = valueOf(headers, ':method') ?? 'GET';
    const contentLength = contentLengthOf(headers);
    const withLength = contentLength >= 0 ? 'length' : 'chunked';
    const framing = ended || method === 'CONNECT' ? 'none' : withLength;
    const acceptsTrailers = valueOf(headers, 'te') === 'trailers';
    const withoutContent = framing === 'none' && EXPECTS_CONTENT.has(method) ? 'zero' : 'drop';
    const outgoing: Outgoing = {
      framing,
      connection: connectionOptions(acceptsTrailers, ''),
      upgrade: '',
      trailers: acceptsTrailers,
      length: contentLength >= 0 ? 'keep' : withoutContent,
    };
    invariant(this.reusable, 'a request is sent when the connection is free');
    if (!writeRequestHeaders(output, headers, plan, outgoing)) return false;
    this.#begin(method, '', framing, contentLength);
    return true;
  }

  /**
   * Sends as much of the body as fits. Returns up to where. After a CONNECT nothing may be sent before its response:
   * it would be passed over.
   */
  sendBody(output: ByteOutput, bytes: Buffer, start: number, end: number): number {
    return this.#body.write(output, bytes, start, end);
  }

  /** Framing around `length` bytes that are sent from where they lie: see {@link BodyWriter.beginChunk}. */
  beginChunk(output: ByteOutput, length: number): boolean {
    return this.#body.beginChunk(output, length);
  }

  endChunk(output: ByteOutput): boolean {
    return this.#body.endChunk(output);
  }

  /** Ends the request. False when there is no room. A body shorter than promised ends the connection, too. */
  sendEnd(output: ByteOutput, trailers?: Head | readonly Header[]): boolean {
    if (!this.#body.end(output, trailers)) return false;
    if (this.#body.left > 0) this.#persistent = false;
    return true;
  }

  /** The exchange cannot go on: nothing more is sent or received. */
  abort(): void {
    this.#persistent = false;
    this.#request = undefined;
    this.#raw = false;
    this.#reader.stop();
  }

  export(): Http1ClientState {
    return {
      options: { ...this.#options },
      reader: this.#reader.export(),
      body: this.#body.export(),
      request: this.#request === undefined ? undefined : { ...this.#request },
      raw: this.#raw,
      interim: this.#interim,
      begun: this.#begun,
      persistent: this.#persistent,
      inputEnded: this.#inputEnded,
    };
  }

  static restore(state: Http1ClientState, tables: HeadTables, events: Http1Events): Http1Client {
    const client = new Http1Client(state.options, tables, events);
    client.#reader.restore(state.reader);
    client.#body.restore(state.body);
    client.#request = state.request;
    client.#raw = state.raw;
    client.#interim = state.interim;
    client.#begun = state.begun;
    client.#persistent = state.persistent;
    client.#inputEnded = state.inputEnded;
    return client;
  }

  // ---- MessageSink: called by the reader only

  onHead(head: Head): BodyFraming | 'interim' {
    const { status } = head;
    if (status < 200 && status !== 101) return this.#onInterim(head);
    const request = this.#request;
    const switching = status === 101;
    const asked = request !== undefined && request.upgrade !== '';
    if (switching && !(asked && head.upgrade === request.upgrade)) {
      this.#fault('unexpectedUpgrade');
      return 'none';
    }
    head.framing = framingOf(head, request?.method ?? '');
    this.#raw = switching || (request?.method === 'CONNECT' && status < 300);
    if (this.#raw) this.#body.begin('untilClose', 0);
    this.#persistent &&= head.keepAlive && head.framing !== 'untilClose';
    this.#events.onHead(head);
    return head.framing;
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    this.#events.onBody(bytes, start, end);
  }

  onEnd(trailers: Head | undefined): void {
    this.#request = undefined;
    this.#interim = 0;
    this.#events.onEnd(trailers);
  }

  onFault(fault: Http1Fault): void {
    this.#persistent = false;
    this.#request = undefined;
    this.#events.onFault(fault);
  }

  #onInterim(head: Head): 'interim' {
    head.framing = 'none';
    if (++this.#interim > this.#options.maxInterimResponses) this.#fault('tooManyInterimResponses');
    else this.#events.onHead(head);
    return 'interim';
  }

  #fault(fault: Http1Fault): void {
    this.#reader.stop();
    this.onFault(fault);
  }

  #begin(method: string, upgrade: string, framing: BodyFraming, length: number): void {
    this.#request = { method, upgrade };
    this.#interim = 0;
    this.#begun = false;
    this.#body.begin(framing, Math.max(length, 0));
    this.#reader.next();
  }
}

/** RFC 9112 section 6.3: what the request and the status say comes before the fields. */
function framingOf(head: Head, method: string): BodyFraming {
  const { status } = head;
  if (status === 101 || (method === 'CONNECT' && status < 300)) return 'untilClose';
  if (method === 'HEAD' || status === 204 || status === 304) return 'none';
  return head.framing === 'length' && head.contentLength === 0 ? 'none' : head.framing;
}

function connectionOptions(trailers: boolean, upgrade: string): string {
  if (upgrade === '') return trailers ? 'te' : '';
  return trailers ? 'te, upgrade' : 'upgrade';
}

/** Methods for which a missing content is said (RFC 9110 section 8.6). */
const EXPECTS_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** What the response must know of its request. */
interface SentRequest {
  readonly method: string;
  readonly upgrade: string;
}

/** A client connection as plain data. */
export interface Http1ClientState {
  readonly options: Required<Http1Options>;
  readonly reader: MessageReaderState;
  readonly body: BodyWriterState;
  readonly request: SentRequest | undefined;
  readonly raw: boolean;
  readonly interim: number;
  readonly begun: boolean;
  readonly persistent: boolean;
  readonly inputEnded: boolean;
}
