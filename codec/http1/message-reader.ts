import { ChunkReader, type ChunkReaderState } from './chunk-reader.ts';
import type { Http1Fault } from './faults.ts';
import { type BodyFraming, Head, type HeadKind } from './head.ts';
import { CARRIAGE_RETURN, LINE_FEED } from './octets.ts';
import type { Http1Options } from './options.ts';
import { beginHead, parseHead } from './parse-head.ts';
import { PartialHead } from './partial-head.ts';

/** Takes what a {@link MessageReader} finds. */
export interface MessageSink {
  /** Decides how the body is framed; or that this is an interim response, and another head follows. */
  onHead(head: Head): BodyFraming | 'interim';
  onBody(bytes: Buffer, start: number, end: number): void;
  /** The reader waits for `next()` before it reads on. */
  onEnd(trailers: Head | undefined): void;
  onFault(fault: Http1Fault): void;
}

/**
 * The heads that a worker parses into, one set for each side: a response is looked at while the next request may
 * already be parsed.
 */
export interface HeadTables {
  readonly head: Head;
  readonly trailers: Head;
}

export function allocateHeadTables(kind: 'request' | 'response'): HeadTables {
  return { head: new Head(kind), trailers: new Head('trailers') };
}

/**
 *   head ──▶ length | chunked ──▶ trailers | untilClose ──▶ ended ──next()──▶ head
 *
 * From everywhere a fault leads to `stopped`.
 */
export type ReaderStage =
  | 'head'
  | 'length'
  | 'chunked'
  | 'trailers'
  | 'untilClose'
  | 'ended'
  | 'stopped';

export interface MessageReaderState {
  readonly stage: ReaderStage;
  readonly left: number;
  readonly bodyBytes: number;
  readonly chunks: ChunkReaderState;
  /** The beginning of a head or of trailers. */
  readonly partial: Uint8Array;
}

/** Cuts received bytes into heads, pieces of bodies and trailers, wherever the input was cut. */
export class MessageReader {
  stage: ReaderStage = 'head';
  /** Set to have `read()` stop behind the current event: what is left is given again later. */
  paused = false;
  /** Bytes of the current body so far, without its framing. */
  bodyBytes = 0;
  /** Bytes that content-length still promises. */
  left = 0;
  readonly #options: Required<Http1Options>;
  readonly #tables: HeadTables;
  readonly #sink: MessageSink;
  readonly #chunks: ChunkReader;
  #partial: PartialHead | undefined;

  constructor(options: Required<Http1Options>, tables: HeadTables, sink: MessageSink) {
    this.#options = options;
    this.#tables = tables;
    this.#sink = sink;
    this.#chunks = new ChunkReader(options);
  }

  /** A head has begun to come in. */
  get insideHead(): boolean {
    return this.stage === 'head' && this.#partial !== undefined;
  }

  /** Reads on. Returns up to where it has come: less than `end` when it is paused, between messages, or stopped. */
  read(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.paused && this.stage !== 'ended' && this.stage !== 'stopped')
      at = this.#readPiece(bytes, at, end);
    return at;
  }

  /** The peer sends nothing more. True when that is a proper end: before a message, or of a body that it ends. */
  readEnd(): boolean {
    switch (this.stage) {
      case 'untilClose':
        this.#end(undefined);
        return true;
      case 'head':
        if (this.#partial === undefined) return true;
        this.#fault('truncatedHead');
        return false;
      case 'ended':
      case 'stopped':
        return true;
      case 'length':
      case 'chunked':
      case 'trailers':
        this.#fault('truncatedBody');
        return false;
    }
  }

  /** The next message may come. */
  next(): void {
    if (this.stage === 'ended') this.stage = 'head';
  }

  /** What follows belongs to another protocol. */
  becomeRaw(): void {
    if (this.stage === 'ended') this.stage = 'untilClose';
  }

  stop(): void {
    this.stage = 'stopped';
    this.#partial = undefined;
  }

  export(): MessageReaderState {
    return {
      stage: this.stage,
      left: this.left,
      bodyBytes: this.bodyBytes,
      chunks: this.#chunks.export(),
      partial: this.#partial?.export() ?? new Uint8Array(0),
    };
  }

  restore(state: MessageReaderState): void {
    this.stage = state.stage;
    this.left = state.left;
    this.bodyBytes = state.bodyBytes;
    this.#chunks.restore(state.chunks);
    if (state.partial.length > 0) {
      this.#partial = this.#newPartial();
      this.#partial.add(Buffer.from(state.partial), 0, state.partial.length);
    }
  }

  #readPiece(bytes: Buffer, start: number, end: number): number {
    switch (this.stage) {
      case 'head':
      case 'trailers':
        return this.#partial === undefined
          ? this.#readHead(bytes, start, end)
          : this.#readHeadPart(this.#partial, bytes, start, end);
      case 'length':
        return this.#readLength(bytes, start, end);
      case 'chunked':
        return this.#readChunked(bytes, start, end);
      case 'untilClose':
        this.#onBody(bytes, start, end);
        return end;
      case 'ended':
      case 'stopped':
        // read() stops before.
        return end;
    }
  }

  /** The usual case: the head lies in the input as a whole, and is parsed where it lies. */
  #readHead(bytes: Buffer, start: number, end: number): number {
    const head = this.stage === 'head' ? this.#tables.head : this.#tables.trailers;
    let at = start;
    if (head.kind === 'request')
      while (at + 1 < end && bytes[at] === CARRIAGE_RETURN && bytes[at + 1] === LINE_FEED) at += 2;
    if (at === end) return end;
    beginHead(head, bytes, at);
    const limit = this.#limit;
    const result = parseHead(head, Math.min(end, at + limit));
    if (result === 'complete') {
      this.#onHead(head);
      return head.end;
    }
    if (result === 'fault') this.#fault(head.fault ?? 'headTooLarge');
    else if (end - at >= limit) this.#tooLarge();
    else {
      this.#partial = this.#newPartial();
      this.#partial.add(bytes, at, end);
    }
    return end;
  }

  #readHeadPart(partial: PartialHead, bytes: Buffer, start: number, end: number): number {
    const { result, taken } = partial.add(bytes, start, end);
    if (result === 'complete') {
      this.#partial = undefined;
      this.#onHead(partial.head);
    } else if (result === 'fault') this.#fault(partial.head.fault ?? 'headTooLarge');
    else if (partial.full) this.#tooLarge();
    else if (partial.length === 0) this.#partial = undefined;
    return start + taken;
  }

  #onHead(head: Head): void {
    if (head.kind === 'trailers') return this.#end(head.count > 0 ? head : undefined);
    this.bodyBytes = 0;
    // What the events below may ask about.
    this.left = head.framing === 'length' ? head.contentLength : 0;
    const framing = this.#sink.onHead(head);
    if (framing === 'interim' || this.#stopped) return;
    if (framing === 'none' || (framing === 'length' && head.contentLength === 0))
      return this.#end(undefined);
    this.stage = framing;
    if (framing === 'chunked') this.#chunks.begin();
  }

  #readLength(bytes: Buffer, start: number, end: number): number {
    const taken = this.left < end - start ? this.left : end - start;
    this.left -= taken;
    this.#onBody(bytes, start, start + taken);
    if (this.left === 0 && !this.#stopped) this.#end(undefined);
    return start + taken;
  }

  #readChunked(bytes: Buffer, start: number, end: number): number {
    const chunks = this.#chunks;
    const at = chunks.read(bytes, start, end);
    if (chunks.fault !== undefined) {
      this.#fault(chunks.fault);
      return at;
    }
    if (chunks.stage === 'done') this.stage = 'trailers';
    if (chunks.stage !== 'data' || at === end) return at;
    const taken = chunks.left < end - at ? chunks.left : end - at;
    chunks.onData(taken);
    this.#onBody(bytes, at, at + taken);
    return at + taken;
  }

  #onBody(bytes: Buffer, start: number, end: number): void {
    this.bodyBytes += end - start;
    this.#sink.onBody(bytes, start, end);
  }

  #end(trailers: Head | undefined): void {
    this.stage = 'ended';
    this.#sink.onEnd(trailers);
  }

  #tooLarge(): void {
    this.#fault(this.stage === 'head' ? 'headTooLarge' : 'trailersTooLarge');
  }

  #fault(fault: Http1Fault): void {
    this.stop();
    this.#sink.onFault(fault);
  }

  /** An event has stopped the reader. A getter, so that the type checker does not take the old stage for granted. */
  get #stopped(): boolean {
    return this.stage === 'stopped';
  }

  get #limit(): number {
    const { maxHeadBytes, maxTrailerBytes } = this.#options;
    return this.stage === 'head' ? maxHeadBytes : maxTrailerBytes;
  }

  #newPartial(): PartialHead {
    const kind: HeadKind = this.stage === 'head' ? this.#tables.head.kind : 'trailers';
    return new PartialHead(kind, this.#limit);
  }
}
