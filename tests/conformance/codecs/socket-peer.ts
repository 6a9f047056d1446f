import { createHash, type Hash } from 'node:crypto';
import type { Socket } from 'node:net';

import { Http2Connection } from '#codec/http2/connection.ts';
import type { Http2Events } from '#codec/http2/events.ts';
import type { Header } from '#codec/http2/field.ts';
import type { Http2Output } from '#codec/http2/frame-writer.ts';
import type { Http2Options, Role } from '#codec/http2/options.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { writeData } from '#tests/support/write-data.ts';

/** What the tests keep of a stream. */
export class Exchange {
  stream: Http2Stream;
  readonly headers: (readonly Header[])[] = [];
  received = 0;
  ended = false;
  resetCode: number | undefined;
  readonly #hash: Hash = createHash('sha256');
  /** Waits to be sent. */
  readonly queue: Buffer[] = [];
  endAfterQueue = false;

  constructor(stream: Http2Stream) {
    this.stream = stream;
  }

  take(bytes: Buffer): void {
    this.received += bytes.length;
    this.#hash.update(bytes);
  }

  /** Of everything received so far. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  header(name: string): string | undefined {
    return this.headers.flat().find(([known]) => known === name)?.[1];
  }
}

export function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Joins a codec and a socket, keeps what comes in, and sends what is queued as windows allow. */
export class SocketPeer implements Http2Events, Http2Output {
  bytes: Buffer = Buffer.alloc(1 << 17);
  end: number = 0;
  connection: Http2Connection;
  readonly exchanges: Exchange[] = [];
  readonly socket: Socket;
  readonly pongs: number[] = [];
  readonly goaways: number[] = [];
  fault: string | undefined;
  windowStalls: number = 0;
  /** Consume what comes in at once. */
  consumes: boolean = true;
  /** Export and restore the connection after every chunk. */
  handsOver: boolean = false;
  handOvers: number = 0;
  /** Called when a request or a response is in. */
  answer: ((exchange: Exchange) => void) | undefined;
  /** Called when the peer has ended a stream. */
  ended: ((exchange: Exchange) => void) | undefined;
  /** Called with every piece of data. */
  echo: ((exchange: Exchange, bytes: Buffer) => void) | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(role: Role, socket: Socket, options: Http2Options = {}) {
    this.socket = socket;
    this.connection = new Http2Connection(role, options, this, this);
    this.connection.start();
    this.#flush();
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('close', () => this.#changed());
    socket.on('error', () => this.#changed());
  }

  reserve(length: number): boolean {
    if (this.end + length > this.bytes.length) this.#flush();
    if (length > this.bytes.length) this.bytes = Buffer.alloc(2 * length);
    return true;
  }

  open(headers: readonly Header[], end: boolean): Exchange {
    const stream = this.connection.openStream(headers, end);
    if (stream === undefined) throw new Error('The stream cannot be opened');
    const exchange = this.#exchangeOf(stream);
    this.#flush();
    return exchange;
  }

  /** Runs something on the codec and sends what it wrote. */
  act(work: (connection: Http2Connection) => void): void {
    work(this.connection);
    this.#flush();
  }

  send(exchange: Exchange, bytes: Buffer, end: boolean): void {
    if (bytes.length > 0) exchange.queue.push(bytes);
    exchange.endAfterQueue ||= end;
    this.#pump(exchange);
    this.#flush();
  }

  /** Settles when `condition` holds. It is asked again after every chunk of input. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!condition()) {
          if (this.socket.destroyed)
            reject(new Error(`The connection has ended: ${this.fault ?? ''}`));
          return;
        }
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  onHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    const exchange = this.#exchangeOf(stream);
    const first = !stream.headersSeen;
    exchange.headers.push(headers);
    if (first) this.answer?.(exchange);
    if (endStream) this.#onEnd(exchange);
  }

  // oxlint-disable-next-line max-params -- as Http2Events has it
  onData(stream: Http2Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const exchange = this.#exchangeOf(stream);
    const piece = bytes.subarray(start, end);
    exchange.take(piece);
    this.echo?.(exchange, piece);
    if (this.consumes) this.connection.consume(stream, end - start);
    if (endStream) this.#onEnd(exchange);
  }

  onReset(stream: Http2Stream, code: number): void {
    this.#exchangeOf(stream).resetCode = code;
  }

  onSendWindow(stream: Http2Stream | undefined): void {
    this.windowStalls++;
    if (stream !== undefined) return this.#pump(this.#exchangeOf(stream));
    for (const exchange of this.exchanges) this.#pump(exchange);
  }

  onPeerSettings(): void {}

  onPong(payload: number): void {
    this.pongs.push(payload);
  }

  onGoaway(_lastStreamId: number, code: number): void {
    this.goaways.push(code);
  }

  onConnectionError(code: number, reason: string): void {
    this.fault = `${code}: ${reason}`;
  }

  #receive(chunk: Buffer): void {
    this.connection.receive(chunk, 0, chunk.length, performance.now());
    this.#flush();
    if (this.handsOver) this.#handOver();
    if (this.fault !== undefined) this.socket.end();
    this.#changed();
  }

  #handOver(): void {
    const state = structuredClone(this.connection.export());
    this.connection = Http2Connection.restore(state, this, this);
    this.handOvers++;
    for (const stream of this.connection.streams()) {
      const exchange = this.exchanges.find((known) => known.stream.id === stream.id);
      if (exchange === undefined) throw new Error(`Nobody knows stream ${stream.id}`);
      exchange.stream = stream;
      stream.owner = exchange;
    }
  }

  #onEnd(exchange: Exchange): void {
    exchange.ended = true;
    this.ended?.(exchange);
  }

  #exchangeOf(stream: Http2Stream): Exchange {
    if (stream.owner instanceof Exchange) return stream.owner;
    const exchange = new Exchange(stream);
    stream.owner = exchange;
    this.exchanges.push(exchange);
    return exchange;
  }

  #pump(exchange: Exchange): void {
    const { queue, stream } = exchange;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const last = exchange.endAfterQueue && queue.length === 1;
      const taken = writeData({ connection: this.connection, output: this }, stream, next, last);
      if (taken === 0) return;
      if (taken === next.length) queue.shift();
      else queue[0] = next.subarray(taken);
    }
    if (exchange.endAfterQueue && stream.canSend) this.connection.commitData(stream, 0, true);
  }

  #flush(): void {
    if (this.end === 0) return;
    this.socket.write(Buffer.from(this.bytes.subarray(0, this.end)));
    this.end = 0;
  }

  #changed(): void {
    for (const look of this.#waiting) look();
  }
}
