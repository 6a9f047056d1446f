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
import { NO_PLAN, type Outgoing, type ResponsePlan, writeResponseHead } from './write.ts';
import { contentLengthOf, statusOf, writeResponseHeaders } from './write-lists.ts';

/**
 * The server's side of one HTTP/1 connection, without I/O: requests come in, responses go out, one exchange after
 * the other. A client may send requests ahead (pipelining): they are read when the response before them has ended.
 * Which deadlines hold follows from `phase`; they are its user's.
 */
export class Http1Server implements MessageSink {
  readonly #options: Required<Http1Options>;
  readonly #reader: MessageReader;
  readonly #body: BodyWriter = new BodyWriter();
  readonly #events: Http1Events;
  #request: RequestFacts = NO_REQUEST;
  #requestEnded = false;
  #response: ResponseStage = 'none';
  /** The connection goes on after this exchange. */
  #persistent = true;
  #draining = false;
  #inputEnded = false;
  #faulted = false;

  /** `tables`: of kind "request", shared by all servers of a worker. */
  constructor(options: Http1Options, tables: HeadTables, events: Http1Events) {
    this.#options = http1Options(options);
    this.#reader = new MessageReader(this.#options, tables, this);
    this.#events = events;
  }

  /**
   * Takes the next bytes from the client. Returns up to where: what is left belongs behind the response that is to be
   * sent first, or behind a pause, and is given again (`wantsInput` says when).
   */
  receive(bytes: Buffer, start: number, end: number): number {
    return this.#reader.read(bytes, start, end);
  }

  /** The client sends nothing more: call when `receive()` has taken everything. Responses may still be sent to it. */
  receiveEnd(): void {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#reader.readEnd();
    if (this.#response !== 'raw') this.#persistent = false;
  }

  /** Would `receive()` take bytes now? */
  get wantsInput(): boolean {
    const { stage, paused } = this.#reader;
    return !paused && stage !== 'ended' && stage !== 'stopped';
  }

  /** `receive()` stops behind the current event, until `resume()`. */
  pause(): void {
    this.#reader.paused = true;
  }

  resume(): void {
    this.#reader.paused = false;
  }

  /** What is being waited for. `raw`: another protocol has taken over. */
  get phase(): 'idle' | 'head' | 'body' | 'response' | 'raw' | 'closed' {
    if (this.finished) return 'closed';
    if (this.#response === 'raw') return 'raw';
    if (this.#request === NO_REQUEST) return this.#reader.insideHead ? 'head' : 'idle';
    return this.#requestEnded ? 'response' : 'body';
  }

  /** Bytes of the request's body so far. */
  get bodyBytes(): number {
    return this.#reader.bodyBytes;
  }

  /** No response has been begun to the current request: a status of one's own can still be sent. */
  get canRespond(): boolean {
    return this.#response === 'none' && (this.#request !== NO_REQUEST || this.#faulted);
  }

  /** Everything has been sent that ever will be: flush, and end the sending side. */
  get sendingEnded(): boolean {
    if (this.#response === 'raw') return this.#body.ended;
    return this.#response === 'ended' && (!this.#persistent || this.#faulted);
  }

  /** Nothing is to be sent or received any more. An idle client that has gone, or a fault, ends it as well. */
  get finished(): boolean {
    if (this.#response === 'raw') return this.#body.ended && this.#inputEnded;
    return this.sendingEnded || (this.#inputEnded && this.#request === NO_REQUEST);
  }

  /** The connection ends after the current exchange; at once when there is none. */
  closeAfterResponse(): void {
    this.#persistent = false;
    if (this.phase !== 'idle') return;
    this.#reader.stop();
    this.#response = 'ended';
  }

  /**
   * Sends the head of a response as it came from an HTTP/1 server: interim, final, or 101. Its framing is translated
   * for the client. False, and nothing sent, when there is no room.
   */
  sendHead(output: ByteOutput, head: Head, plan: ResponsePlan = NO_PLAN): boolean {
    const { status } = head;
    if (this.#dropsInterim(status)) return true;
    const outgoing = this.#outgoing(status, head, plan.close === true);
    if (!writeResponseHead(output, head, plan, outgoing)) return false;
    this.#begin(status, outgoing.framing, head.contentLength);
    return true;
  }

  /**
   * The same with a list of fields, as it came from an HTTP/2 server or is made here: `:status`, then the rest.
   * `ended`: no body follows; `sendEnd()` is called all the same.
   */
  sendHeaders(
    output: ByteOutput,
    headers: readonly Header[],
    ended: boolean,
    plan: ResponsePlan = NO_PLAN,
  ): boolean {
    const status = statusOf(headers);
    invariant(status !== 101, 'a header list cannot switch protocols');
    if (this.#dropsInterim(status)) return true;
    const contentLength = contentLengthOf(headers);
    const withBody = contentLength >= 0 ? 'length' : 'chunked';
    const source: ResponseSource = {
      framing: ended ? 'none' : withBody,
      contentLength,
      upgrade: '',
    };
    const outgoing = this.#outgoing(status, source, plan.close === true);
    if (!writeResponseHeaders(output, headers, plan, outgoing)) return false;
    this.#begin(status, outgoing.framing, contentLength);
    return true;
  }

  /** Sends as much of the body as fits. Returns up to where; what has no place in the response is passed over. */
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

  /** Ends the response. False when there is no room. A body shorter than promised ends the connection, too. */
  sendEnd(output: ByteOutput, trailers?: Head | readonly Header[]): boolean {
    if (this.#response !== 'begun' && this.#response !== 'raw') return true;
    if (!this.#body.end(output, trailers)) return false;
    if (this.#response === 'raw') return true;
    this.#response = 'ended';
    if (this.#body.left > 0) this.#persistent = false;
    this.#endExchange();
    return true;
  }

  /** A body that cannot be completed: the client must see the connection break off. Nothing more is sent. */
  abort(): void {
    this.#persistent = false;
    this.#response = 'ended';
    this.#reader.stop();
  }

  export(): Http1ServerState {
    return {
      options: { ...this.#options },
      reader: this.#reader.export(),
      body: this.#body.export(),
      request: this.#request === NO_REQUEST ? undefined : { ...this.#request },
      requestEnded: this.#requestEnded,
      response: this.#response,
      persistent: this.#persistent,
      draining: this.#draining,
      inputEnded: this.#inputEnded,
      faulted: this.#faulted,
    };
  }

  static restore(state: Http1ServerState, tables: HeadTables, events: Http1Events): Http1Server {
    const server = new Http1Server(state.options, tables, events);
    server.#reader.restore(state.reader);
    server.#body.restore(state.body);
    server.#request = state.request ?? NO_REQUEST;
    server.#requestEnded = state.requestEnded;
    server.#response = state.response;
    server.#persistent = state.persistent;
    server.#draining = state.draining;
    server.#inputEnded = state.inputEnded;
    server.#faulted = state.faulted;
    return server;
  }

  // ---- MessageSink: called by the reader only

  onHead(head: Head): BodyFraming {
    this.#request = {
      head: head.method === 'HEAD',
      connect: head.method === 'CONNECT',
      minorVersion: head.minorVersion,
      upgrade: head.upgrade,
      expectsContinue: head.expectsContinue,
    };
    this.#requestEnded = false;
    this.#response = 'none';
    this.#persistent &&= head.keepAlive;
    const { framing } = head;
    this.#events.onHead(head);
    return framing;
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (!this.#draining) return this.#events.onBody(bytes, start, end);
    if (this.#reader.bodyBytes > this.#options.maxDrainBytes) this.#giveUp();
  }

  onEnd(trailers: Head | undefined): void {
    this.#requestEnded = true;
    if (!this.#draining) this.#events.onEnd(trailers);
    if (this.#response === 'ended') this.#endExchange();
  }

  onFault(fault: Http1Fault): void {
    this.#faulted = true;
    this.#persistent = false;
    if (!this.#draining) this.#events.onFault(fault);
  }

  #dropsInterim(status: number): boolean {
    // HTTP/1.0 knows no interim responses (RFC 9110 section 15.2).
    return status < 200 && status !== 101 && this.#request.minorVersion === 0;
  }

  /** How a response goes on to this client. */
  #outgoing(status: number, source: ResponseSource, close: boolean): Outgoing {
    invariant(this.canRespond, 'a response belongs to a request that has none yet');
    if (status === 101) return this.#switching(source.upgrade);
    if (status < 200) return INTERIM;
    const request = this.#request;
    if (request.connect && status < 300) return TUNNEL;
    if (close || this.#willNotDrain()) this.#persistent = false;
    const bodiless = request.head || status === 204 || status === 304;
    let framing = bodiless ? 'none' : source.framing;
    if (framing === 'untilClose' || framing === 'chunked')
      framing = request.minorVersion === 0 ? 'untilClose' : 'chunked';
    if (framing === 'untilClose') this.#persistent = false;
    const withoutLength = framing === 'none' && !bodiless ? 'zero' : 'drop';
    const hasLength = source.contentLength >= 0 && status !== 204;
    return {
      framing,
      connection: this.#connectionOption(),
      upgrade: '',
      trailers: false,
      length: hasLength ? 'keep' : withoutLength,
    };
  }

  #switching(upgrade: string): Outgoing {
    invariant(
      upgrade !== '' && upgrade === this.#request.upgrade,
      'protocols are switched to what the client asked for',
    );
    const framing = 'untilClose';
    return { framing, connection: 'upgrade', upgrade, trailers: false, length: 'drop' };
  }

  #connectionOption(): string {
    if (!this.#persistent) return 'close';
    return this.#request.minorVersion === 0 ? 'keep-alive' : '';
  }

  #begin(status: number, framing: BodyFraming, length: number): void {
    if (status === 100) this.#request = { ...this.#request, expectsContinue: false };
    if (status < 200 && status !== 101) return;
    this.#body.begin(framing, Math.max(length, 0));
    const tunnel = this.#request.connect && status < 300;
    if (status !== 101 && !tunnel) {
      this.#response = 'begun';
      return;
    }
    this.#response = 'raw';
    this.#reader.becomeRaw();
  }

  /** The client waits for a 100 that never came, or has more to send than is worth reading. */
  #willNotDrain(): boolean {
    if (this.#requestEnded || this.#request === NO_REQUEST) return false;
    const asked = this.#request.expectsContinue && this.#reader.bodyBytes === 0;
    return asked || this.#reader.left > this.#options.maxDrainBytes;
  }

  /** The response has ended; the request perhaps not. */
  #endExchange(): void {
    if (!this.#persistent) return this.#reader.stop();
    if (!this.#requestEnded) {
      if (this.#willNotDrain()) return this.#giveUp();
      this.#draining = true;
      this.#reader.paused = false;
      return;
    }
    this.#draining = false;
    this.#request = NO_REQUEST;
    this.#response = 'none';
    this.#reader.next();
  }

  #giveUp(): void {
    this.#persistent = false;
    this.#reader.stop();
  }
}

/** What a response says about its body: a head, or the facts of a list. */
type ResponseSource = Pick<Head, 'framing' | 'contentLength' | 'upgrade'>;

type ResponseStage = 'none' | 'begun' | 'ended' | 'raw';

/** What the response must know of its request. */
interface RequestFacts {
  readonly head: boolean;
  readonly connect: boolean;
  readonly minorVersion: number;
  readonly upgrade: string;
  readonly expectsContinue: boolean;
}

/** Also for a request that could not be read: it is answered as if it were the simplest one. */
const NO_REQUEST: RequestFacts = {
  head: false,
  connect: false,
  minorVersion: 1,
  upgrade: '',
  expectsContinue: false,
};

/** A server connection as plain data. */
export interface Http1ServerState {
  readonly options: Required<Http1Options>;
  readonly reader: MessageReaderState;
  readonly body: BodyWriterState;
  readonly request: RequestFacts | undefined;
  readonly requestEnded: boolean;
  readonly response: ResponseStage;
  readonly persistent: boolean;
  readonly draining: boolean;
  readonly inputEnded: boolean;
  readonly faulted: boolean;
}

const INTERIM: Outgoing = {
  framing: 'none',
  connection: '',
  upgrade: '',
  trailers: false,
  length: 'drop',
};

/** The answer to CONNECT: from here on the bytes are the tunnel's. */
const TUNNEL: Outgoing = { ...INTERIM, framing: 'untilClose' };
