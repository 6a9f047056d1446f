import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';

export interface WebSocketEvents {
  /** A whole message, text or binary. */
  onMessage(data: Buffer): void;
  /** The socket takes data again, after `send` has answered false. */
  onDrain(): void;
  /** The connection has gone, however. */
  onClose(): void;
}

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** RFC 6455, section 1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MESSAGE_BYTES_MAX = 1 << 20;
const NORMAL_CLOSURE = 1000;

/** What `Sec-WebSocket-Accept` has to say. */
export function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}${ACCEPT_SUFFIX}`).digest('base64');
}

/** The server's side of a WebSocket (RFC 6455) after the handshake. */
export class WebSocketConnection {
  readonly #socket: Duplex;
  readonly #events: WebSocketEvents;
  #pending: Buffer;
  #message: Buffer[] = [];
  #messageLength = 0;
  #closed = false;

  constructor(socket: Duplex, head: Buffer, events: WebSocketEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#pending = head;
    socket.on('data', (chunk: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, chunk]);
      this.#read();
    });
    socket.on('drain', () => events.onDrain());
    socket.on('error', () => this.#gone());
    socket.on('end', () => this.#gone());
    socket.on('close', () => this.#gone());
    // Whoever made us may want to know us first.
    queueMicrotask(() => this.#read());
  }

  /** Sends a binary message. False: wait for `onDrain` before more is sent. */
  send(...parts: readonly Buffer[]): boolean {
    return this.#frame(OPCODE.binary, Buffer.concat(parts));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    const code = Buffer.alloc(2);
    code.writeUInt16BE(NORMAL_CLOSURE);
    this.#frame(OPCODE.close, code);
    this.#socket.end();
  }

  #read(): void {
    while (!this.#closed) {
      const frame = takeFrame(this.#pending);
      if (frame === undefined) return;
      if (frame === 'refused') {
        this.#socket.destroy();
        return;
      }
      this.#pending = this.#pending.subarray(frame.length);
      this.#handle(frame);
    }
  }

  #handle({ opcode, final, payload }: Frame): void {
    switch (opcode) {
      case OPCODE.text:
      case OPCODE.binary:
      case OPCODE.continuation:
        this.#messageLength += payload.length;
        if (this.#messageLength > MESSAGE_BYTES_MAX) {
          this.#socket.destroy();
          return;
        }
        this.#message.push(payload);
        if (!final) return;
        this.#events.onMessage(Buffer.concat(this.#message));
        this.#message = [];
        this.#messageLength = 0;
        return;
      case OPCODE.ping:
        this.#frame(OPCODE.pong, payload);
        return;
      case OPCODE.close:
        this.#frame(OPCODE.close, payload.subarray(0, 2));
        this.#socket.end();
        return;
      default:
        return;
    }
  }

  #frame(opcode: number, payload: Buffer): boolean {
    if (this.#closed || !this.#socket.writable) return true;
    return this.#socket.write(Buffer.concat([frameHead(opcode, payload.length), payload]));
  }

  #gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#events.onClose();
  }
}

interface Frame {
  readonly opcode: number;
  readonly final: boolean;
  readonly payload: Buffer;
  /** Of the whole frame. */
  readonly length: number;
}

/** The first frame of what has come in; undefined: there is more to come; clients that do not mask are refused. */
function takeFrame(bytes: Buffer): Frame | 'refused' | undefined {
  if (bytes.length < 2) return undefined;
  const [first = 0, second = 0] = bytes;
  if ((second & 0x80) === 0) return 'refused';
  const short = second & 0x7f;
  const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
  const maskAt = 2 + extended;
  if (bytes.length < maskAt + 4) return undefined;
  const length =
    extended === 0
      ? short
      : extended === 2
        ? bytes.readUInt16BE(2)
        : Number(bytes.readBigUInt64BE(2));
  if (length > MESSAGE_BYTES_MAX) return 'refused';
  const start = maskAt + 4;
  if (bytes.length < start + length) return undefined;
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let index = 0; index < length; index += 1) {
    payload.writeUInt8(payload.readUInt8(index) ^ bytes.readUInt8(maskAt + (index & 3)), index);
  }
  return { opcode: first & 0x0f, final: (first & 0x80) !== 0, payload, length: start + length };
}

function frameHead(opcode: number, length: number): Buffer {
  if (length < 126) return Buffer.from([0x80 | opcode, length]);
  if (length < 1 << 16) {
    const head = Buffer.from([0x80 | opcode, 126, 0, 0]);
    head.writeUInt16BE(length, 2);
    return head;
  }
  const head = Buffer.alloc(10);
  head.writeUInt8(0x80 | opcode, 0);
  head.writeUInt8(127, 1);
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}
