import { generateKeyPairSync } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { encode, encoded, integer, randomSerial, time } from '#common/tls/der-writer.ts';
import { spki } from '#common/tls/x509-writer.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function timeText(ms: number): string {
  return Buffer.from(encode(time(ms)))
    .subarray(2)
    .toString();
}

describe('integer()', () => {
  for (const [bytes, want] of [
    [[0], '020100'],
    [[], '020100'],
    [[0, 0, 5], '020105'],
    [[0x7f], '02017f'],
    [[0x80], '02020080'],
    [[0, 0xff, 1], '020300ff01'],
  ] as const) {
    it(`writes [${bytes.join(' ')}] as ${want}: positive, in the fewest bytes`, () => {
      expect(hex(encode(integer(Uint8Array.from(bytes))))).to.equal(want);
    });
  }
});

describe('time()', () => {
  it('is a UTCTime in 2049 and a GeneralizedTime in 2050', () => {
    expect(timeText(Date.UTC(2049, 11, 31, 23, 59, 59))).to.equal('491231235959Z');
    expect(timeText(Date.UTC(2050, 0, 1))).to.equal('20500101000000Z');
  });
});

describe('encoded()', () => {
  it('gives back the very bytes, whatever key is inside', () => {
    // One key in 256 looks like nested DER to a reader that guesses.
    for (let i = 0; i < 1500; i++) {
      const der = spki(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
      expect(hex(encode(encoded(der)))).to.equal(hex(der));
    }
  });
});

describe('randomSerial()', () => {
  it('is positive, 16 bytes long and never the same', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const serial = randomSerial();
      expect(serial).to.have.length(16);
      expect(serial[0]! & 0x80).to.equal(0);
      seen.add(hex(serial));
    }
    expect(seen.size).to.equal(200);
  });
});
