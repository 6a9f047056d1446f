import { once } from 'node:events';
import { Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import { HpackEncoder } from '#codec/http2/hpack-encoder.ts';
import type { TlsMaterial } from '#reactor/tls/context.ts';

import { limitReceiveBuffer } from './still.ts';
import { connectTo } from './tls-sockets.ts';

/** RFC 9113 section 6. */
export const Frame = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
} as const;

const HEADER_LENGTH = 9;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const RECEIVE_BUFFER_BYTES = 128 << 10;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/**
 * A client of a tunnel that says exactly what the test wants, whatever the server has said: Node's TLS, frames by
 * hand, the largest windows. It answers SETTINGS, and PING unless `pongs` is false.
 */
export class RawHttp2Client implements Disposable {
  readonly socket: TLSSocket;
  pongs = true;
  /** Frames of the server, without the payload of DATA. */
  readonly seen: Seen[] = [];
  dataBytes = 0;
  /** END_STREAM has come on some stream. */
  endStream = false;
  /** `end` or the code of an error. */
  end: string | undefined;
  readonly #encoder = new HpackEncoder(false);
  #unread = Buffer.alloc(0);
  readonly #unanswered: Seen[] = [];
  readonly #waiters: (() => void)[] = [];

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('end', () => this.#ended('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#ended(error.code ?? error.message));
    socket.on('close', () => this.#ended('close'));
    const settings = Buffer.from([0, 4, 0x40, 0, 0, 0]);
    socket.write(PREFACE);
    this.frame(Frame.settings, 0, 0, settings);
    this.frame(Frame.windowUpdate, 0, 0, Buffer.from([0x3f, 0, 0, 0]));
  }

  static async open(material: TlsMaterial, port: number): Promise<RawHttp2Client> {
    const fd = connectTo(port);
    // What it does not read waits at the server.
    limitReceiveBuffer(fd, RECEIVE_BUFFER_BYTES);
    const plain = new Socket({ fd });
    const socket = connectTls({
      socket: plain,
      cert: material.chainPem.join(''),
      key: material.privateKeyPem,
      ca: material.rootsPem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
    });
    await once(socket, 'secureConnect');
    return new RawHttp2Client(socket);
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    const header = Buffer.alloc(HEADER_LENGTH);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = type;
    header[4] = flags;
    header.writeUInt32BE(streamId, 5);
    this.socket.write(Buffer.concat([header, payload]));
  }

  /** Opens a stream. */
  connect(streamId: number): void {
    const block = Buffer.alloc(500);
    const headers = [
      [':method', 'CONNECT'],
      [':authority', '127.0.0.1:80'],
    ] as const;
    const length = this.#encoder.encode(headers, block, 0);
    this.frame(Frame.headers, END_HEADERS, streamId, block.subarray(0, length));
  }

  /** Sends the last data of a stream. */
  finish(streamId: number, text: string): void {
    this.frame(Frame.data, END_STREAM, streamId, Buffer.from(text));
  }

  /** A PING; its answer comes after whatever the server says to all before it. */
  async ping(): Promise<void> {
    const count = this.of(Frame.ping).filter(({ flags }) => flags === ACK).length;
    this.frame(Frame.ping, 0, 0, Buffer.alloc(8, 7));
    await this.until(() => this.of(Frame.ping).filter(({ flags }) => flags === ACK).length > count);
  }

  /** Answers every PING that it has left unanswered. */
  answerPings(): void {
    this.pongs = true;
    for (const { payload } of this.#unanswered.splice(0)) {
      this.frame(Frame.ping, ACK, 0, payload);
    }
  }

  of(type: number, streamId?: number): readonly Seen[] {
    return this.seen.filter(
      (frame) => frame.type === type && (streamId === undefined || frame.streamId === streamId),
    );
  }

  /** Settles when `holds` does, which is looked at after every frame and at the end. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (holds()) resolve();
      else this.#waiters.push(look);
    };
    this.#waiters.push(look);
    return promise;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= HEADER_LENGTH) {
      const end = HEADER_LENGTH + this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < end) break;
      const type = this.#unread[3] ?? 0;
      const flags = this.#unread[4] ?? 0;
      const streamId = this.#unread.readUInt32BE(5);
      const payload = Buffer.from(this.#unread.subarray(HEADER_LENGTH, end));
      this.#unread = this.#unread.subarray(end);
      this.#onFrame({ type, flags, streamId, payload });
    }
    this.#changed();
  }

  #onFrame(frame: Seen): void {
    const { type, flags, payload } = frame;
    const acknowledges = (flags & ACK) !== 0;
    if (type === Frame.data) {
      this.dataBytes += payload.length;
      this.endStream ||= (flags & END_STREAM) !== 0;
      return;
    }
    this.seen.push(frame);
    if (type === Frame.settings && !acknowledges) {
      this.frame(Frame.settings, ACK, 0, Buffer.alloc(0));
    } else if (type === Frame.ping && !acknowledges) {
      this.#unanswered.push(frame);
      if (this.pongs) this.answerPings();
    }
  }

  #ended(how: string): void {
    this.end ??= how;
    this.#changed();
  }

  #changed(): void {
    for (const look of this.#waiters.splice(0)) look();
  }
}
