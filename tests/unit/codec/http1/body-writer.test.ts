import { expect } from 'chai';
import { describe, it } from 'mocha';

import { BodyWriter } from '#codec/http1/body-writer.ts';
import { ByteOutput } from '#codec/http1/byte-output.ts';

import { lines, parsed } from './heads.ts';
import { roomy, written } from './peers.ts';

const HELLO = Buffer.from('hello world');

function begun(framing: 'chunked' | 'length' | 'untilClose' | 'none', length = 0): BodyWriter {
  const body = new BodyWriter();
  body.begin(framing, length);
  return body;
}

describe('BodyWriter', () => {
  it('writes what fits, and goes on from there', () => {
    for (const [framing, room, expected] of [
      ['length', 4, ['hell', 'o wo', 'rld']],
      ['untilClose', 4, ['hell', 'o wo', 'rld']],
      ['chunked', 16, ['4\r\nhell\r\n', '4\r\no wo\r\n', '3\r\nrld\r\n']],
    ] as const) {
      const body = begun(framing, HELLO.length);
      const pieces: string[] = [];
      for (let at = 0; at < HELLO.length; ) {
        const output = new ByteOutput().point(Buffer.alloc(room), 0, room);
        at = body.write(output, HELLO, at, HELLO.length);
        pieces.push(written(output));
      }
      expect(pieces).to.deep.equal(expected);
    }
  });

  it('writes no part of a chunk when there is no room for its framing', () => {
    const body = begun('chunked');
    for (let room = 0; room <= 12; room++) {
      const output = new ByteOutput().point(Buffer.alloc(20), 0, room);
      expect(body.write(output, HELLO, 0, HELLO.length)).to.equal(0);
      expect(output.end).to.equal(0);
    }
  });

  it('frames chunks whose data is sent from where it lies', () => {
    const body = begun('chunked');
    const output = roomy();
    expect(body.beginChunk(output, 4096)).to.equal(true);
    expect(written(output)).to.equal('1000\r\n');
    expect(body.endChunk(output)).to.equal(true);
    expect(written(output)).to.equal('\r\n');
    expect(body.beginChunk(new ByteOutput().point(Buffer.alloc(9), 0, 3), 1)).to.equal(true);
    expect(body.beginChunk(new ByteOutput().point(Buffer.alloc(9), 0, 3), 16)).to.equal(false);
  });

  it('ends with trailers only where they can be told from the body', () => {
    const trailers = parsed('trailers', lines('X-Sum: 1', 'Cookie: no', 'y: 2'));
    for (const [framing, expected] of [
      ['chunked', '0\r\nX-Sum: 1\r\ny: 2\r\n\r\n'],
      ['untilClose', ''],
      ['none', ''],
    ] as const) {
      const body = begun(framing);
      const output = roomy();
      expect(body.end(output, trailers)).to.equal(true);
      expect(written(output)).to.equal(expected);
      expect(body.ended).to.equal(true);
    }
  });

  it('does not end when there is no room', () => {
    const body = begun('chunked');
    expect(body.end(new ByteOutput().point(Buffer.alloc(9), 0, 4), undefined)).to.equal(false);
    expect(body.ended).to.equal(false);
    expect(body.end(new ByteOutput().point(Buffer.alloc(9), 0, 5), undefined)).to.equal(true);
  });
});
