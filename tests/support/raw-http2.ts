import { once } from 'node:events';
import type { Duplex } from 'node:stream';

import type { Header } from '#codec/http2/field.ts';
import { HpackEncoder } from '#codec/http2/hpack-encoder.ts';

/** RFC 9113 section 6. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const END_STREAM = 1;
export const END_HEADERS = 4;
const ACK = 1;
const HEADER_LENGTH = 9;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** HTTP/2 by hand on any connection: it says exactly what the test wants, and keeps what it is told. */
export class RawHttp2 {
  readonly frames: SeenFrame[] = [];
  /** The connection has ended, by whomever. */
  isOver = false;
  readonly #connection: Duplex;
  readonly #encoder = new HpackEncoder(false);
  #unread: Buffer = Buffer.alloc(0);
  readonly #looks: (() => void)[] = [];

  constructor(connection: Duplex, settings: Buffer = Buffer.alloc(0)) {
    this.#connection = connection;
    connection.on('data', (bytes: Buffer) => this.#take(bytes));
    for (const event of ['end', 'close', 'error']) {
      connection.on(event, () => {
        this.isOver = true;
        this.#look();
      });
    }
    connection.write(PREFACE);
    this.send(FrameType.settings, 0, 0, settings);
  }

  /** One frame, whatever it says. */
  send(type: number, flags: number, streamId: number, payload: Uint8Array | string = ''): void {
    this.#connection.write(frame(type, flags, streamId, payload));
  }

  /** The same so many times, with the network's patience. Stops when the connection is over. */
  async flood(count: number, make: (index: number) => Buffer): Promise<void> {
    for (let index = 0; index < count && !this.isOver; ) {
      const frames: Buffer[] = [];
      for (let each = 0; each < 100 && index < count; each++) frames.push(make(index++));
      if (this.#connection.write(Buffer.concat(frames))) continue;
      await Promise.race([once(this.#connection, 'drain'), this.until(() => this.isOver)]).catch(
        () => undefined,
      );
    }
  }

  headers(streamId: number, fields: readonly Header[], flags: number): Buffer {
    return frame(FrameType.headers, flags, streamId, this.block(fields));
  }

  /** A header block, of which nothing is checked. */
  block(fields: readonly Header[]): Buffer {
    const room = Buffer.alloc(200_000);
    return Buffer.from(room.subarray(0, this.#encoder.encode(fields, room, 0)));
  }

  /** Writes what was made. */
  write(bytes: Buffer): void {
    this.#connection.write(bytes);
  }

  of(type: number): readonly SeenFrame[] {
    return this.frames.filter((one) => one.type === type);
  }

  /** Settles when `holds`, which is asked after every frame; fails after a minute. */
  async until(holds: () => boolean): Promise<void> {
    const deadlineMs = Date.now() + 60_000;
    while (!holds()) {
      if (Date.now() > deadlineMs)
        throw new Error(`waited in vain: ${JSON.stringify(this.frames)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#looks.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Settles when everything that was sent before has been looked at. */
  async ping(): Promise<void> {
    const before = this.#pongs();
    this.send(FrameType.ping, 0, 0, Buffer.alloc(8, 7));
    await this.until(() => this.#pongs() > before || this.isOver);
  }

  #pongs(): number {
    return this.of(FrameType.ping).filter(({ flags }) => flags === ACK).length;
  }

  #take(bytes: Buffer): void {
    let rest = Buffer.concat([this.#unread, bytes]);
    while (rest.length >= HEADER_LENGTH) {
      const length = rest.readUIntBE(0, 3);
      if (rest.length < HEADER_LENGTH + length) break;
      const seen: SeenFrame = {
        type: rest[3] ?? 0,
        flags: rest[4] ?? 0,
        streamId: rest.readUInt32BE(5),
        payload: Buffer.from(rest.subarray(HEADER_LENGTH, HEADER_LENGTH + length)),
      };
      this.frames.push(seen);
      if (seen.type === FrameType.settings && seen.flags === 0) {
        this.send(FrameType.settings, ACK, 0);
      }
      rest = rest.subarray(HEADER_LENGTH + length);
    }
    this.#unread = rest;
    this.#look();
  }

  #look(): void {
    for (const look of this.#looks.splice(0)) look();
  }
}

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array | string = '',
): Buffer {
  const body = Buffer.from(payload as string);
  const header = Buffer.alloc(HEADER_LENGTH);
  header.writeUIntBE(body.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, body]);
}

/** A 32-bit number, as most payloads begin. */
export function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
