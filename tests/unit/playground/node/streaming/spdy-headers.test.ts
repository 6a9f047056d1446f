import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  HeaderCompressor,
  HeaderDecompressor,
  SPDY_DICTIONARY,
} from '#playground/node/streaming/spdy-headers.ts';

/** Adler-32, by which zlib names a dictionary. */
function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}

describe('SPDY headers', () => {
  it('are compressed with the dictionary that all others have', () => {
    expect(SPDY_DICTIONARY).to.have.length(1423);
    expect(adler32(SPDY_DICTIONARY).toString(16)).to.equal('e3c6a7c2');
  });

  it('compress() and decompress() keep their state from block to block', async () => {
    const compressor = new HeaderCompressor();
    const decompressor = new HeaderDecompressor();
    const blocks = [
      new Map([
        ['streamtype', 'error'],
        ['port', '8080'],
      ]),
      new Map([['streamtype', 'data']]),
      new Map<string, string>(),
    ];
    const sizes: number[] = [];
    for (const block of blocks) {
      const compressed = await compressor.compress(block);
      sizes.push(compressed.length);
      expect(await decompressor.decompress(compressed)).to.deep.equal(block);
    }
    // zlib's header, with the name of the dictionary, is before the first one alone.
    expect(sizes[1]).to.be.below(sizes[0] ?? 0);
    compressor.close();
    decompressor.close();
  });

  it('decompress() refuses what is none', async () => {
    const decompressor = new HeaderDecompressor();
    const error = await decompressor.decompress(Buffer.from('GET / HTTP/1.1')).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(Error);
    decompressor.close();
  });
});
