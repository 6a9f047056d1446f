import { expect } from 'chai';
import { describe, it } from 'mocha';

import { huffmanDecode, huffmanEncode, huffmanLength } from '#codec/http2/huffman.ts';

import { hex } from './frames.ts';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1');

function encode(text: string): Buffer {
  const bytes = Buffer.alloc(huffmanLength(text));
  expect(huffmanEncode(text, bytes, 0)).to.equal(bytes.length);
  return bytes;
}

function decode(bytes: Buffer): string | undefined {
  const target = Buffer.alloc(2048);
  const end = huffmanDecode(bytes, 0, bytes.length, target, 0);
  return end < 0 ? undefined : target.toString('latin1', 0, end);
}

describe('huffmanEncode()', () => {
  for (const [text, coded] of [
    ['www.example.com', 'f1e3 c2e5 f23a 6ba0 ab90 f4ff'],
    ['no-cache', 'a8eb 1064 9cbf'],
    ['custom-value', '25a8 49e9 5bb8 e8b4 bf'],
    ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff'],
    ['', ''],
  ] as const)
    it(`writes ${JSON.stringify(text)} as RFC 7541 appendix C has it`, () => {
      expect(encode(text)).to.deep.equal(hex(coded));
    });

  it('writes the longest code as appendix B has it', () => {
    // 0x0a is 30 bits: 0x3ffffffc, then two bits of padding.
    expect(encode('\n')).to.deep.equal(hex('fffffff3'));
  });
});

describe('huffmanDecode()', () => {
  it('gives back every byte, alone and after every other', () => {
    expect(decode(encode(ALL_BYTES))).to.equal(ALL_BYTES);
    for (let first = 0; first < 256; first += 5)
      for (let second = 0; second < 256; second++) {
        const text = String.fromCharCode(first, second);
        expect(decode(encode(text))).to.equal(text);
      }
  });

  for (const [what, coded] of [
    ['EOS', 'ffffffff'],
    ['EOS behind a symbol', '1fffffffff'],
    ['a padding of 8 bits', '1fff'],
    ['a padding of zeros', '18'],
    ['a code that is cut off', 'fff8'],
    ['only padding', 'ff'],
  ] as const)
    it(`refuses ${what}`, () => {
      expect(decode(hex(coded))).to.equal(undefined);
    });
});
