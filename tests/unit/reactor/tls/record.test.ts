import { createCipheriv, randomBytes } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { allocateSlab, type Slab } from '#reactor/memory.ts';
import { type CipherSuite, cipherSuites, trafficKeys } from '#reactor/tls/key-schedule.ts';
import {
  ALERT,
  APPLICATION_DATA,
  CONTENT_LENGTH_MAX,
  HANDSHAKE,
  HEADER_LENGTH,
  RecordKeys,
  TAG_LENGTH,
} from '#reactor/tls/record.ts';
import * as rfc8448 from '#tests/support/rfc8448.ts';
import { slabOf } from '#tests/support/tls-sockets.ts';

const aes128 = cipherSuites[0] as CipherSuite;
const closeNotify = Buffer.from([1, 0]);

function seal(keys: RecordKeys, content: Uint8Array, type: number): Buffer {
  const from = slabOf(content);
  const to = allocateSlab(content.length + HEADER_LENGTH + 1 + TAG_LENGTH);
  const length = keys.seal(from, 0, content.length, type, to, 0);
  expect(length).to.equal(to.size);
  return to.bytes;
}

/** Content and type; undefined when the record is not genuine. */
function open(keys: RecordKeys, record: Buffer): Buffer | undefined {
  const from = slabOf(record);
  const to = allocateSlab(Math.max(record.length, 1));
  const length = keys.open(from, 0, record.length - HEADER_LENGTH, to, 0);
  return length < 0 ? undefined : to.bytes.subarray(0, length);
}

describe('RecordKeys', () => {
  it('seal() writes the records of RFC 8448 section 3', () => {
    const client = new RecordKeys(aes128, rfc8448.clientSecret, true);
    expect(seal(client, rfc8448.payload, APPLICATION_DATA)).to.deep.equal(rfc8448.clientData);
    expect(seal(client, closeNotify, ALERT)).to.deep.equal(rfc8448.clientCloseNotify);
    client.free();
  });

  it('open() reads the records of RFC 8448 section 3', () => {
    const server = new RecordKeys(aes128, rfc8448.serverSecret, false);
    const ticket = open(server, rfc8448.serverTicket);
    expect(ticket?.[0]).to.equal(4);
    expect(ticket?.at(-1)).to.equal(HANDSHAKE);
    expect(open(server, rfc8448.serverData)).to.deep.equal(
      Buffer.concat([rfc8448.payload, Buffer.from([APPLICATION_DATA])]),
    );
    expect(open(server, rfc8448.serverCloseNotify)).to.deep.equal(
      Buffer.concat([closeNotify, Buffer.from([ALERT])]),
    );
    server.free();
  });

  it('seal() leaves the spare byte behind the content as it was', () => {
    const keys = new RecordKeys(aes128, rfc8448.clientSecret, true);
    const from = slabOf('content!');
    keys.seal(from, 0, 7, APPLICATION_DATA, allocateSlab(100), 0);
    expect(from.bytes.toString('latin1', 0, 8)).to.equal('content!');
    keys.free();
  });

  for (const suite of cipherSuites) {
    const secret = randomBytes(suite.hashLength);

    it(`seal() and open() agree for ${suite.name}, also over a key update`, () => {
      const sealing = new RecordKeys(suite, secret, true);
      const opening = new RecordKeys(suite, secret, false);
      for (const length of [0, 1, 15, 16, 17, 1_000, CONTENT_LENGTH_MAX]) {
        const content = randomBytes(length);
        const inner = Buffer.concat([content, Buffer.from([APPLICATION_DATA])]);
        expect(open(opening, seal(sealing, content, APPLICATION_DATA))).to.deep.equal(inner);
        sealing.update();
        opening.update();
        expect(sealing.sequence).to.equal(0);
      }
      sealing.free();
      opening.free();
    });

    it(`seal() numbers records as an independent cipher does for ${suite.name}`, () => {
      for (const sequence of [0, 1, 255, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40 + 3]) {
        const keys = new RecordKeys(suite, secret, true, sequence);
        for (const number of [sequence, sequence + 1, sequence + 2]) {
          const content = randomBytes(20);
          expect(seal(keys, content, HANDSHAKE)).to.deep.equal(
            independentRecord(suite, secret, number, content, HANDSHAKE),
          );
        }
        keys.free();
      }
    });

    it(`open() notices every flipped bit for ${suite.name}`, () => {
      const sealing = new RecordKeys(suite, secret, true);
      const record = seal(sealing, Buffer.from('twenty bytes of data'), APPLICATION_DATA);
      for (let bit = 0; bit < record.length * 8; bit++) {
        // The length decides how many bytes are opened; the reader of records checks it.
        if (bit >= 24 && bit < 40) continue;
        const changed = Buffer.from(record);
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
        const opening = new RecordKeys(suite, secret, false);
        expect(open(opening, changed), `bit ${bit}`).to.equal(undefined);
        opening.free();
      }
      sealing.free();
    });
  }

  it('open() refuses a record that comes again', () => {
    const sealing = new RecordKeys(aes128, rfc8448.clientSecret, true);
    const opening = new RecordKeys(aes128, rfc8448.clientSecret, false);
    const record = seal(sealing, Buffer.from('once'), APPLICATION_DATA);
    expect(open(opening, record)).to.not.equal(undefined);
    expect(open(opening, record)).to.equal(undefined);
    sealing.free();
    opening.free();
  });

  it('goes on from its secret and number as if it had not been interrupted', () => {
    const first = new RecordKeys(aes128, rfc8448.clientSecret, true);
    seal(first, Buffer.from('one'), APPLICATION_DATA);
    const second = new RecordKeys(aes128, first.secret(), true, first.sequence);
    expect(seal(second, Buffer.from('two'), APPLICATION_DATA)).to.deep.equal(
      seal(first, Buffer.from('two'), APPLICATION_DATA),
    );
    first.free();
    second.free();
  });

  it('does nothing once it is freed', () => {
    const keys = new RecordKeys(aes128, rfc8448.clientSecret, true);
    keys.free();
    keys.free();
    expect(() => seal(keys, Buffer.from('late'), APPLICATION_DATA)).to.throw(
      'keys that may be used',
    );
    expect(keys.secret().every((byte) => byte === 0)).to.equal(true);
  });

  it('refuses ranges outside of its slabs', () => {
    const keys = new RecordKeys(aes128, rfc8448.clientSecret, true);
    const small: Slab = allocateSlab(10);
    const large = allocateSlab(1_000);
    expect(() => keys.seal(small, 0, 10, APPLICATION_DATA, large, 0)).to.throw(RangeError);
    expect(() => keys.seal(large, 0, 100, APPLICATION_DATA, small, 0)).to.throw(RangeError);
    expect(() => keys.open(small, 0, 20, large, 0)).to.throw(RangeError);
    expect(() => keys.open(large, 0, 100, small, 0)).to.throw(RangeError);
    keys.free();
  });
});

/** A record by Node's own cipher, from the text of RFC 8446 section 5. */
function independentRecord(
  suite: CipherSuite,
  secret: Buffer,
  sequence: number,
  content: Buffer,
  type: number,
): Buffer {
  const { key, iv } = trafficKeys(suite, secret);
  const number = Buffer.alloc(12);
  number.writeBigUInt64BE(BigInt(sequence), 4);
  const nonce = iv.map((byte, index) => byte ^ (number[index] as number));
  const header = Buffer.from([23, 3, 3, 0, 0]);
  header.writeUInt16BE(content.length + 1 + TAG_LENGTH, 3);
  const name = suite.cipher.toLowerCase() as 'aes-128-gcm';
  const cipher = createCipheriv(name, key, nonce, { authTagLength: TAG_LENGTH });
  cipher.setAAD(header, { plaintextLength: content.length + 1 });
  const body = Buffer.concat([
    cipher.update(Buffer.concat([content, Buffer.from([type])])),
    cipher.final(),
  ]);
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}
