import { FrameType, PREFACE } from '#codec/http2/frame.ts';

/** Raw frames, also such as no sender should send. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * i);
  return bytes;
}

export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

export const SETTINGS: Buffer = frame(FrameType.settings, 0, 0, Buffer.alloc(0));
export const SETTINGS_ACK: Buffer = frame(FrameType.settings, 1, 0, Buffer.alloc(0));

/** What a client begins with. */
export const CLIENT_START: Buffer = Buffer.concat([PREFACE, SETTINGS]);

/** A field without Huffman code and outside of the dynamic table. Names and values below 127 bytes. */
export function literal(name: string, value: string): Buffer {
  const texts = [name, value].flatMap((text) => [
    Buffer.from([text.length]),
    Buffer.from(text, 'latin1'),
  ]);
  return Buffer.concat([Buffer.from([0]), ...texts]);
}

export function block(...fields: (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

export const CONNECT_BLOCK: Buffer = block([':method', 'CONNECT'], [':authority', 'a:1']);
export const GET_BLOCK: Buffer = Buffer.concat([hex('82 84 86'), block([':authority', 'a'])]);

/** HEADERS with END_HEADERS. */
export function headers(streamId: number, fields: Uint8Array, flags = 0): Buffer {
  return frame(FrameType.headers, flags | 0x4, streamId, fields);
}

export function data(streamId: number, text: string, flags = 0): Buffer {
  return frame(FrameType.data, flags, streamId, Buffer.from(text, 'latin1'));
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(FrameType.windowUpdate, 0, streamId, uint32(increment));
}

export function resetStream(streamId: number, code: number): Buffer {
  return frame(FrameType.resetStream, 0, streamId, uint32(code));
}

/** A frame as text: `RST_STREAM 1 00000008`, flags left out. */
export function describeFrames(bytes: Buffer): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const name = NAMES[bytes[at + 3] ?? 0] ?? `type ${bytes[at + 3]}`;
    const ack = (name === 'SETTINGS' || name === 'PING') && bytes[at + 4] === 1 ? ' ACK' : '';
    const payload = bytes.subarray(at + 9, at + 9 + length);
    const shown = name === 'GOAWAY' ? payload.subarray(0, 8) : payload.subarray(0, 32);
    lines.push(`${name}${ack} ${bytes.readUInt32BE(at + 5)} ${shown.toString('hex')}`.trimEnd());
    at += 9 + length;
  }
  return lines;
}

const NAMES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
];
