import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import type { Field, Header } from '#codec/http2/field.ts';
import { HpackDecoder } from '#codec/http2/hpack-decoder.ts';
import { HpackEncoder } from '#codec/http2/hpack-encoder.ts';

import { hex } from './frames.ts';

function encode(encoder: HpackEncoder, headers: readonly Header[]): Buffer {
  const bytes = Buffer.alloc(encoder.lengthMax(headers));
  return bytes.subarray(0, encoder.encode(headers, bytes, 0));
}

function decode(decoder: HpackDecoder, bytes: Buffer): Header[] {
  const headers: Header[] = [];
  const sink = { addField: (field: Field) => void headers.push(field.header) };
  expect(decoder.decode(bytes, 0, bytes.length, sink)).to.equal(true);
  return headers;
}

const REQUESTS: readonly (readonly Header[])[] = [
  [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
  ],
  [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
    ['cache-control', 'no-cache'],
  ],
  [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', '/index.html'],
    [':authority', 'www.example.com'],
    ['custom-key', 'custom-value'],
  ],
];

describe('HpackEncoder', () => {
  it('encode() writes the requests of RFC 7541 C.4', () => {
    const encoder = new HpackEncoder(true);
    expect(REQUESTS.map((request) => encode(encoder, request))).to.deep.equal([
      hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'),
      hex('8286 84be 5886 a8eb 1064 9cbf'),
      hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'),
    ]);
  });

  it('encode() writes the requests of RFC 7541 C.3 without Huffman code', () => {
    const encoder = new HpackEncoder(false);
    expect(REQUESTS.map((request) => encode(encoder, request))).to.deep.equal([
      hex('8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'),
      hex('8286 84be 5808 6e6f 2d63 6163 6865'),
      hex('8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'),
    ]);
  });

  it('encode() needs one byte per field for a tunnel request that came before', () => {
    const encoder = new HpackEncoder(true);
    const request: readonly Header[] = [
      [':method', 'CONNECT'],
      [':authority', '10.0.0.1:80'],
      ['baggage', 'k8s.cluster.name=c,k8s.namespace.name=n'],
    ];
    encode(encoder, request);
    expect(encode(encoder, request)).to.have.length(3);
  });

  it('encode() keeps secrets and values that never repeat out of the table', () => {
    const encoder = new HpackEncoder(true);
    const bytes = encode(encoder, [
      ['authorization', 'Basic abc'],
      ['cookie', 'a=b'],
      ['traceparent', '00-0-0-00'],
    ]);
    expect(encoder.export().entries).to.deep.equal([]);
    expect((bytes[0] ?? 0) & 0xf0).to.equal(0x10);
  });

  it('setPeerLimit() is told to the peer in the next block, the smallest one first', () => {
    const encoder = new HpackEncoder(true);
    encode(encoder, [['a', 'b']]);
    encoder.setPeerLimit(0);
    encoder.setPeerLimit(100);
    expect(encode(encoder, [[':method', 'GET']])).to.deep.equal(hex('20 3f45 82'));
    expect(encode(encoder, [[':method', 'GET']])).to.deep.equal(hex('82'));
  });

  it('setPeerLimit() of a larger table than ours changes nothing', () => {
    const encoder = new HpackEncoder(true);
    encoder.setPeerLimit(65_536);
    expect(encode(encoder, [[':method', 'GET']])).to.deep.equal(hex('82'));
  });

  // A small alphabet, so that names and values meet again; some large values, so that entries are evicted.
  const text = fc.oneof(
    fc.constantFrom('a', 'b', 'cache-control', ':path', 'x-long', '/', 'cookie', 'no-cache'),
    fc.string({ unit: fc.nat(255).map((byte) => String.fromCharCode(byte)), maxLength: 40 }),
    fc.nat(2100).map((length) => 'v'.repeat(length)),
  );
  const blocks = fc.array(
    fc.record({
      headers: fc.array(fc.tuple(text, text), { maxLength: 12 }),
      limit: fc.option(fc.constantFrom(0, 64, 200, 4096), { nil: undefined }),
      restore: fc.boolean(),
    }),
    { maxLength: 20 },
  );

  for (const huffman of [true, false])
    it(`encode() gives what HpackDecoder reads, huffman ${huffman}, in any order of blocks, limits and hand-overs`, () => {
      fc.assert(
        fc.property(blocks, (sequence) => {
          let encoder = new HpackEncoder(huffman);
          let decoder = new HpackDecoder(4096);
          for (const { headers, limit, restore } of sequence) {
            if (limit !== undefined) encoder.setPeerLimit(limit);
            expect(decode(decoder, encode(encoder, headers))).to.deep.equal(headers);
            expect(decoder.export().entries).to.deep.equal(encoder.export().entries);
            if (!restore) continue;
            encoder = HpackEncoder.restore(structuredClone(encoder.export()));
            decoder = HpackDecoder.restore(structuredClone(decoder.export()));
          }
        }),
        { numRuns: 150 },
      );
    });
});
