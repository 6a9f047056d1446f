import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import type { Field } from '#codec/http2/field.ts';
import { PREFACE } from '#codec/http2/frame.ts';
import { HpackDecoder } from '#codec/http2/hpack-decoder.ts';
import {
  huffmanDecode,
  huffmanDecodedMax,
  huffmanEncode,
  huffmanLength,
} from '#codec/http2/huffman.ts';

import { frame, headers, SETTINGS } from '#tests/unit/codec/http2/frames.ts';
import { CONNECT, Peer } from '#tests/unit/codec/http2/peers.ts';
import { clientBytes } from '#tests/unit/codec/http2/scripts.ts';

/** Runs per property; for a long run, change it by hand. */
const RUNS = 400;
/** What a connection may write in answer to one byte of input, plus its start. */
const OUTPUT_PER_BYTE_MAX = 4;
const OUTPUT_START_MAX = 200;

interface Flip {
  readonly at: number;
  readonly kind: 'bit' | 'byte' | 'cut' | 'repeat';
  readonly value: number;
}

const flips: fc.Arbitrary<Flip[]> = fc.array(
  fc.record({
    at: fc.nat(10_000),
    kind: fc.constantFrom('bit', 'byte', 'cut', 'repeat'),
    value: fc.nat(255),
  }),
  { minLength: 1, maxLength: 6 },
);

function flipped(bytes: Buffer, changes: readonly Flip[]): Buffer {
  let result = Buffer.from(bytes);
  for (const { at, kind, value } of changes) {
    const position = at % result.length;
    if (kind === 'bit') result[position] = (result[position] ?? 0) ^ (1 << (value & 7));
    else if (kind === 'byte') result[position] = value;
    else {
      const end = Math.min(result.length, position + 1 + (value & 31));
      const piece = kind === 'cut' ? [] : [result.subarray(position, end)];
      result = Buffer.concat([
        result.subarray(0, kind === 'cut' ? position : end),
        ...piece,
        result.subarray(end),
      ]);
    }
    if (result.length === 0) return bytes;
  }
  return result;
}

/** Whatever came in: the invariants hold, the state can be exported, and after a fault nothing happens. */
function expectSane(peer: Peer, received: number): void {
  expect(peer.output.end).to.be.most(OUTPUT_START_MAX + OUTPUT_PER_BYTE_MAX * received);
  const state = structuredClone(peer.connection.export());
  const events = peer.recorder.take();
  const faults = events.filter(([name]) => name === 'fault');
  expect(faults).to.have.length(state.faulted ? 1 : 0);
  if (state.faulted) expect(events.at(-1)).to.equal(faults[0]);
  else {
    expect(state.receiveLeft).to.be.least(0);
    const held = state.streams.reduce((sum, stream) => sum + stream.unconsumed, 0);
    const coming = state.data.left;
    expect(state.receiveLeft + state.receiveCredit + held + coming).to.be.most(
      state.options.connectionWindow,
    );
  }
  for (const stream of state.streams)
    if (stream.localEnded && stream.remoteEnded) expect(stream.unconsumed).to.be.above(0);
  for (const level of state.guards.levels) expect(level).to.be.least(0);
}

describe('Http2Connection, fuzzed', () => {
  it('a server survives any change of bits and bytes in what a client sends', () => {
    fc.assert(
      fc.property(clientBytes, flips, fc.boolean(), (bytes, changes, keepPreface) => {
        const start = keepPreface ? PREFACE.length : 0;
        const broken = Buffer.concat([
          bytes.subarray(0, start),
          flipped(bytes.subarray(start), changes),
        ]);
        const server = new Peer('server', { initialWindowSize: 300 });
        server.receive(broken);
        expectSane(server, broken.length);
      }),
      { numRuns: 4 * RUNS },
    );
  });

  it('a client survives any change of bits and bytes in what a server sends', () => {
    fc.assert(
      fc.property(clientBytes, flips, (bytes, changes) => {
        const client = new Peer('client', { initialWindowSize: 300 });
        for (let i = 0; i < 4; i++) client.connection.openStream(CONNECT, i % 2 === 0);
        client.output.take();
        const answers = [1, 3, 5, 7].map((id) => headers(id, Buffer.from([0x88])));
        const frames = Buffer.concat([SETTINGS, ...answers, bytes.subarray(PREFACE.length)]);
        const broken = flipped(frames, changes);
        client.receive(broken);
        expectSane(client, broken.length);
      }),
      { numRuns: 4 * RUNS },
    );
  });

  it('a server survives frames with any header and payload', () => {
    const anyFrame = fc
      .tuple(fc.nat(11), fc.nat(255), fc.nat(9), fc.uint8Array({ maxLength: 60 }))
      .map(([type, flags, id, payload]) => frame(type, flags, id, payload));
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 30 }), (frames) => {
        // One connection per frame and one for all: most frames end their connection.
        for (const bytes of [Buffer.concat(frames), ...frames]) {
          const server = new Peer('server');
          server.receive(Buffer.concat([PREFACE, SETTINGS, bytes]));
          expectSane(server, bytes.length + PREFACE.length + SETTINGS.length);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('HpackDecoder takes or refuses any bytes, and never makes more than they can mean', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 8 }), (blocks) => {
        const decoder = new HpackDecoder(4096);
        for (const block of blocks) {
          let fields = 0;
          const sink = { addField: (field: Field) => void (fields += field.size > 0 ? 1 : 0) };
          const good = decoder.decode(Buffer.from(block), 0, block.length, sink);
          expect(fields).to.be.most(block.length);
          const { entries, maxSize } = decoder.export();
          const size = entries.reduce(
            (sum, [name, value]) => sum + name.length + value.length + 32,
            0,
          );
          expect(size).to.be.most(maxSize);
          if (!good) return;
        }
      }),
      { numRuns: 10 * RUNS },
    );
  });

  it('huffmanDecode() takes only what huffmanEncode() would write', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (coded) => {
        const target = Buffer.alloc(huffmanDecodedMax(coded.length));
        const end = huffmanDecode(Buffer.from(coded), 0, coded.length, target, 0);
        if (end < 0) return;
        const text = target.toString('latin1', 0, end);
        const again = Buffer.alloc(huffmanLength(text));
        huffmanEncode(text, again, 0);
        expect(again).to.deep.equal(Buffer.from(coded));
      }),
      { numRuns: 20 * RUNS },
    );
  });
});
