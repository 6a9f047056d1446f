import type { Duplex } from 'node:stream';

import { type HeaderBlock, HeaderCompressor, HeaderDecompressor } from './spdy-headers.ts';

/** A stream that the client has opened. */
export interface SpdyStream {
  readonly id: number;
  readonly headers: HeaderBlock;
  onData: (chunk: Buffer) => void;
  /** The client sends nothing more. */
  onEnd: () => void;
}

export interface SpdyEvents {
  onStream(stream: SpdyStream): void;
  /** The socket takes data again, after `write` has answered false. */
  onDrain(): void;
  /** The connection has gone, however. */
  onClose(): void;
}

const VERSION = 3;
const TYPE = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7 } as const;
const FLAG_FIN = 1;
const HEADER_BYTES = 8;
const PROTOCOL_ERROR = 1;
/** Clients send what they have read at once: 32 KB. */
const FRAME_BYTES_MAX = 1 << 20;
const STREAMS_MAX = 1_000;

/**
 * The server's side of a SPDY/3.1 connection as kubectl makes it, inside of an upgraded HTTP connection: the client opens
 * streams, both sides send data on them. Without flow control: the clients of these protocols have none.
 */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #events: SpdyEvents;
  readonly #compressor = new HeaderCompressor();
  readonly #decompressor = new HeaderDecompressor();
  readonly #streams = new Map<number, SpdyStream>();
  #pending: Buffer;
  #reading = false;
  #closed = false;

  constructor(socket: Duplex, head: Buffer, events: SpdyEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#pending = head;
    socket.on('data', (chunk: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, chunk]);
      void this.#read();
    });
    socket.on('drain', () => events.onDrain());
    socket.on('error', () => this.#close());
    socket.on('end', () => this.#close());
    socket.on('close', () => this.#close());
    void this.#read();
  }

  /** False: wait for `onDrain` before more is written. */
  write(stream: SpdyStream, chunk: Buffer): boolean {
    return this.#frame(dataHeader(stream.id, 0, chunk.length), chunk);
  }

  /** Ends our side of a stream. */
  end(stream: SpdyStream): void {
    this.#frame(dataHeader(stream.id, FLAG_FIN, 0));
  }

  /** Refuses a stream, or takes it back. */
  reset(stream: SpdyStream): void {
    this.#streams.delete(stream.id);
    const body = Buffer.alloc(8);
    body.writeUInt32BE(stream.id, 0);
    body.writeUInt32BE(PROTOCOL_ERROR, 4);
    this.#control(TYPE.rstStream, 0, body);
  }

  /** Takes no more from the client for now. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Sends what is still to be sent, and ends the connection. */
  close(): void {
    this.#socket.end();
  }

  async #read(): Promise<void> {
    // Blocks of headers take turns: they share the state of one decompressor.
    if (this.#reading) return;
    this.#reading = true;
    try {
      for (let frame = this.#next(); frame !== undefined; frame = this.#next()) {
        await this.#handle(frame.head, frame.body);
      }
    } catch {
      // Nobody we could talk to.
      this.#socket.destroy();
    } finally {
      this.#reading = false;
    }
  }

  #next(): { readonly head: Buffer; readonly body: Buffer } | undefined {
    if (this.#closed || this.#pending.length < HEADER_BYTES) return undefined;
    const length = this.#pending.readUIntBE(5, 3);
    if (length > FRAME_BYTES_MAX) throw new Error('a frame is too large');
    if (this.#pending.length < HEADER_BYTES + length) return undefined;
    const head = this.#pending.subarray(0, HEADER_BYTES);
    const body = this.#pending.subarray(HEADER_BYTES, HEADER_BYTES + length);
    this.#pending = this.#pending.subarray(HEADER_BYTES + length);
    return { head, body };
  }

  async #handle(head: Buffer, body: Buffer): Promise<void> {
    const first = head.readUInt32BE(0);
    const flags = head.readUInt8(4);
    if (first < 0x8000_0000) return this.#data(first, flags, body);
    switch (first & 0xffff) {
      case TYPE.synStream:
        return this.#open(flags, body);
      case TYPE.rstStream: {
        const id = body.readUInt32BE(0);
        this.#streams.get(id)?.onEnd();
        this.#streams.delete(id);
        return;
      }
      case TYPE.ping:
        this.#control(TYPE.ping, 0, body);
        return;
      case TYPE.goAway:
        this.#socket.end();
        return;
      default:
        // Settings and the like are of no use to us.
        return;
    }
  }

  #data(id: number, flags: number, body: Buffer): void {
    const stream = this.#streams.get(id);
    if (body.length > 0) stream?.onData(body);
    if ((flags & FLAG_FIN) !== 0) stream?.onEnd();
  }

  async #open(flags: number, body: Buffer): Promise<void> {
    const id = body.readUInt32BE(0) & 0x7fff_ffff;
    // Stream, associated stream, priority and slot come before the headers.
    const headers = await this.#decompressor.decompress(body.subarray(10));
    if (this.#closed) return;
    const stream: SpdyStream = {
      id,
      headers,
      onData: () => undefined,
      onEnd: () => undefined,
    };
    if (this.#streams.size >= STREAMS_MAX || this.#streams.has(id)) return this.reset(stream);
    this.#streams.set(id, stream);
    const reply = Buffer.alloc(4);
    reply.writeUInt32BE(id);
    const block = await this.#compressor.compress(new Map());
    this.#control(TYPE.synReply, 0, Buffer.concat([reply, block]));
    this.#events.onStream(stream);
    if ((flags & FLAG_FIN) !== 0) stream.onEnd();
  }

  /** Forgets a stream that both sides have ended. */
  forget(stream: SpdyStream): void {
    this.#streams.delete(stream.id);
  }

  #control(type: number, flags: number, body: Buffer): void {
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt16BE(0x8000 | VERSION, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt8(flags, 4);
    head.writeUIntBE(body.length, 5, 3);
    this.#frame(head, body);
  }

  #frame(...parts: readonly Buffer[]): boolean {
    if (this.#closed || !this.#socket.writable) return true;
    return this.#socket.write(Buffer.concat(parts));
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#compressor.close();
    this.#decompressor.close();
    this.#socket.destroy();
    this.#events.onClose();
  }
}

function dataHeader(id: number, flags: number, length: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32BE(id, 0);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(length, 5, 3);
  return head;
}
