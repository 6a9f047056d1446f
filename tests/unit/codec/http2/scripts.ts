import * as fc from 'fast-check';

import { PREFACE } from '#codec/http2/frame.ts';

import {
  block,
  CONNECT_BLOCK,
  data,
  frame,
  GET_BLOCK,
  headers,
  hex,
  resetStream,
  SETTINGS,
  SETTINGS_ACK,
  setting,
  uint32,
  windowUpdate,
} from './frames.ts';

const step = fc.record({
  kind: fc.constantFrom(
    ...(['open', 'open in parts', 'data', 'data', 'data', 'data', 'padded', 'trailers'] as const),
    ...(['reset', 'window', 'settings', 'other', 'other', 'late', 'broken'] as const),
  ),
  /** Which of the open streams. */
  which: fc.nat(20),
  number: fc.nat(20),
  text: fc.string({ unit: fc.constantFrom('a', 'b', '\xff'), maxLength: 60 }),
  end: fc.boolean(),
  /** Fields behind those of the request: two new entries of the table, and the two that are newest. */
  fields: fc.array(fc.constantFrom('4001 6101 62', 'be', '4002 6161 8361 6161', 'bf'), {
    maxLength: 3,
  }),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Allowed in every state. */
const OTHERS: readonly Buffer[] = [
  SETTINGS_ACK,
  frame(6, 0, 0, uint32(1, 2)),
  frame(6, 1, 0, uint32(0, 7)),
  frame(7, 0, 0, uint32(0, 0)),
  frame(2, 0, 1, Buffer.alloc(5)),
  frame(0xbb, 3, 1, Buffer.from('unknown')),
  windowUpdate(0, 5),
];

const SETTINGS_FRAMES: readonly Buffer[] = [
  frame(4, 0, 0, setting(4, 0)),
  frame(4, 0, 0, setting(4, 70_000)),
  frame(4, 0, 0, setting(1, 0)),
  frame(4, 0, 0, Buffer.concat([setting(1, 100), setting(5, 20_000)])),
];

/** These end the connection. */
const BROKEN: readonly Buffer[] = [
  data(0, 'a'),
  frame(5, 4, 1, Buffer.alloc(4)),
  frame(9, 4, 1, Buffer.alloc(0)),
  frame(6, 0, 0, Buffer.alloc(3)),
  frame(8, 0, 0, uint32(0)),
  headers(2, CONNECT_BLOCK),
];

/** What a client could send on one connection, from its preface on. Some break a rule somewhere. */
export const clientBytes: fc.Arbitrary<Buffer> = fc
  .array(step, { minLength: 1, maxLength: 40, size: 'max' })
  .map((steps) => {
    // The first request fills the table, so that the indexes in `fields` mean something.
    const first = headers(1, Buffer.concat([CONNECT_BLOCK, hex('4001 6301 64 4001 6501 66')]));
    const open = [1];
    return Buffer.concat([PREFACE, SETTINGS, first, ...steps.map((one) => bytesOf(one, open))]);
  });

function bytesOf({ kind, which, number, text, end, fields }: Step, open: number[]): Buffer {
  const id = open[which % open.length] ?? 1;
  const flags = end && number % 2 === 0 ? 0x1 : 0;
  const request = end ? CONNECT_BLOCK : GET_BLOCK;
  switch (kind) {
    case 'open':
      return headers(opened(open), Buffer.concat([request, ...fields.map(hex)]), flags);
    case 'open in parts': {
      const coded = Buffer.concat([request, ...fields.map(hex)]);
      const next = opened(open);
      return Buffer.concat([
        frame(1, flags, next, coded.subarray(0, number)),
        frame(9, 0, next, Buffer.alloc(0)),
        frame(9, 4, next, coded.subarray(number)),
      ]);
    }
    case 'data':
      return data(id, text, number === 0 ? 0x1 : 0);
    case 'padded': {
      const padding = '\0'.repeat(number);
      return data(id, `${String.fromCharCode(number)}${text}${padding}`, 0x8 | flags);
    }
    case 'trailers':
      return headers(id, block(['t', 'x']), 0x1);
    case 'reset':
      return resetStream(id, 8);
    case 'window':
      return windowUpdate(id, number);
    case 'settings':
      return SETTINGS_FRAMES[number % SETTINGS_FRAMES.length] ?? SETTINGS;
    case 'late':
      return data(1, text);
    case 'broken':
      return number === 0 ? (BROKEN[which % BROKEN.length] ?? SETTINGS) : windowUpdate(0, 5);
    case 'other':
      return OTHERS[number % OTHERS.length] ?? SETTINGS;
  }
}

function opened(open: number[]): number {
  const id = (open.at(-1) ?? 1) + 2;
  open.push(id);
  return id;
}
