import { expect } from 'chai';
import { describe, it } from 'mocha';

import { allocateSlab } from '#reactor/memory.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';
import { IncomingRecords } from '#reactor/tls/incoming.ts';
import { type CipherSuite, cipherSuites } from '#reactor/tls/key-schedule.ts';
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

const suite = cipherSuites[0] as CipherSuite;
const secret = rfc8448.serverSecret;
const buffers = allocateTlsBuffers();
const keyUpdate = Buffer.from([24, 0, 0, 1, 0]);
const keyUpdateRequest = Buffer.from([24, 0, 0, 1, 1]);
const ticket = Buffer.concat([Buffer.from([4, 0, 1, 0]), Buffer.alloc(256, 7)]);

/** The peer: seals what a test wants it to say. */
class Peer {
  readonly keys = new RecordKeys(suite, secret, true);

  /** `inner` is content, type and padding. */
  raw(inner: Uint8Array): Buffer {
    const content = inner.subarray(0, -1);
    const to = allocateSlab(inner.length + HEADER_LENGTH + TAG_LENGTH);
    const length = this.keys.seal(slabOf(content), 0, content.length, inner.at(-1) ?? 0, to, 0);
    return to.bytes.subarray(0, length);
  }

  record(type: number, content: Uint8Array | string, padding = 0): Buffer {
    const bytes = Buffer.from(content);
    return this.raw(Buffer.concat([bytes, Buffer.from([type]), Buffer.alloc(padding)]));
  }

  data(text: string): Buffer {
    return this.record(APPLICATION_DATA, text);
  }
}

class Reader {
  readonly records: IncomingRecords;
  text = '';

  constructor(peerIsServer = true) {
    const keys = new RecordKeys(suite, secret, false);
    this.records = new IncomingRecords(keys, peerIsServer, buffers);
  }

  take(...pieces: Buffer[]): this {
    for (const piece of pieces) {
      const kept = this.records.lay();
      piece.copy(buffers.ciphertextIn.bytes, kept);
      const filled = this.records.open(kept + piece.length);
      this.text += buffers.plaintext.bytes.toString('latin1', 0, filled);
      if (this.records.end !== undefined) break;
    }
    return this;
  }

  get end(): { kind: string; code?: string | number; alert?: number } | undefined {
    return this.records.end;
  }
}

describe('IncomingRecords', () => {
  it('open() puts the content of many records back to back', () => {
    const peer = new Peer();
    const batch = Buffer.concat(['one ', 'two ', 'three'].map((text) => peer.data(text)));
    expect(new Reader().take(batch).text).to.equal('one two three');
  });

  it('open() gives the same for every way in which the stream is cut', () => {
    const pieces = (peer: Peer): Buffer[] => [
      peer.data('first'),
      peer.record(HANDSHAKE, ticket),
      peer.record(APPLICATION_DATA, 'second', 20),
      peer.record(APPLICATION_DATA, ''),
      peer.record(ALERT, Buffer.from([1, 0])),
    ];
    const all = Buffer.concat(pieces(new Peer()));
    for (let cut = 0; cut <= all.length; cut++) {
      const reader = new Reader().take(all.subarray(0, cut), all.subarray(cut));
      expect(reader.text, `cut at ${cut}`).to.equal('firstsecond');
      expect(reader.end).to.deep.equal({ kind: 'close-notify' });
    }
    const bytes = new Reader();
    for (const byte of all) bytes.take(Buffer.from([byte]));
    expect(bytes.text).to.equal('firstsecond');
  });

  it('open() takes a full record with and without padding', () => {
    const full = 'x'.repeat(CONTENT_LENGTH_MAX);
    expect(new Reader().take(new Peer().data(full)).text).to.equal(full);
    const padded = new Peer().record(APPLICATION_DATA, 'y', CONTENT_LENGTH_MAX - 1);
    expect(new Reader().take(padded).text).to.equal('y');
  });

  it('open() follows the keys of the peer, in the middle of a batch', () => {
    const peer = new Peer();
    const before = peer.data('old ');
    const update = peer.record(HANDSHAKE, keyUpdateRequest);
    peer.keys.update();
    const reader = new Reader().take(Buffer.concat([before, update, peer.data('new')]));
    expect(reader.text).to.equal('old new');
    expect(reader.records.keyUpdateRequested).to.equal(true);
  });

  it('open() takes a KeyUpdate that two records carry', () => {
    const peer = new Peer();
    const first = peer.record(HANDSHAKE, keyUpdate.subarray(0, 2));
    const second = peer.record(HANDSHAKE, keyUpdate.subarray(2));
    peer.keys.update();
    const reader = new Reader().take(first, second, peer.data('new'));
    expect(reader.text).to.equal('new');
    expect(reader.records.keyUpdateRequested).to.equal(false);
  });

  it('open() skips tickets of a server, also several in one record and one in several', () => {
    const peer = new Peer();
    const two = peer.record(HANDSHAKE, Buffer.concat([ticket, ticket]));
    const halves = [ticket.subarray(0, 3), ticket.subarray(3, 100), ticket.subarray(100)];
    const parts = halves.map((half) => peer.record(HANDSHAKE, half));
    expect(new Reader().take(two, ...parts, peer.data('data')).text).to.equal('data');
  });

  it('open() delivers what came before a record that is not genuine', () => {
    const peer = new Peer();
    const good = peer.data('good');
    const bad = peer.data('evil');
    bad[10] = (bad[10] as number) ^ 1;
    const reader = new Reader().take(Buffer.concat([good, bad, peer.data('later')]));
    expect(reader.text).to.equal('good');
    expect(reader.end).to.include({ kind: 'fault', alert: 20, code: 'TLS_BAD_RECORD_MAC' });
  });

  it('open() ignores user_canceled and reports every other alert by its code, whatever its level', () => {
    const peer = new Peer();
    const ignored = new Reader().take(peer.record(ALERT, Buffer.from([1, 90])), peer.data('on'));
    expect(ignored.text).to.equal('on');
    for (const [level, code] of [
      [1, 42],
      [2, 42],
      [2, 250],
    ]) {
      const alert = new Peer().record(ALERT, Buffer.from([level as number, code as number]));
      expect(new Reader().take(alert).end).to.deep.equal({ kind: 'alert', code });
    }
  });

  const faults: readonly {
    readonly what: string;
    readonly pieces: (peer: Peer) => Buffer[];
    readonly alert: number;
    readonly peerIsServer?: boolean;
  }[] = [
    {
      what: 'ChangeCipherSpec, which is legal in the handshake only',
      pieces: () => [Buffer.from([20, 3, 3, 0, 1, 1])],
      alert: 10,
    },
    {
      what: 'an alert that is not protected',
      pieces: () => [Buffer.from([21, 3, 3, 0, 2, 2, 40])],
      alert: 10,
    },
    { what: 'an unknown type of record', pieces: () => [Buffer.from([99, 3, 3, 0, 1])], alert: 10 },
    {
      what: 'a header that promises too much, before the bytes come',
      pieces: () => [Buffer.from([23, 3, 3, 0x41, 0x01])],
      alert: 22,
    },
    {
      what: 'too much content in a record of legal length',
      pieces: (peer) => [peer.record(APPLICATION_DATA, 'z'.repeat(CONTENT_LENGTH_MAX + 1))],
      alert: 22,
    },
    {
      what: 'too much padding',
      pieces: (peer) => [peer.record(APPLICATION_DATA, 'z', CONTENT_LENGTH_MAX)],
      alert: 22,
    },
    {
      what: 'a record that is too short for a content type',
      pieces: () => [Buffer.concat([Buffer.from([23, 3, 3, 0, 16]), Buffer.alloc(16)])],
      alert: 20,
    },
    { what: 'a record of length 0', pieces: () => [Buffer.from([23, 3, 3, 0, 0])], alert: 20 },
    { what: 'nothing but padding', pieces: (peer) => [peer.raw(Buffer.alloc(20))], alert: 10 },
    {
      what: 'an unknown content type',
      pieces: (peer) => [peer.record(24, 'heartbeat')],
      alert: 10,
    },
    { what: 'ChangeCipherSpec inside', pieces: (peer) => [peer.record(20, '\x01')], alert: 10 },
    {
      what: 'an empty handshake record',
      pieces: (peer) => [peer.record(HANDSHAKE, '')],
      alert: 10,
    },
    { what: 'an empty alert', pieces: (peer) => [peer.record(ALERT, '')], alert: 10 },
    { what: 'half an alert', pieces: (peer) => [peer.record(ALERT, '\x02')], alert: 50 },
    {
      what: 'two alerts in one',
      pieces: (peer) => [peer.record(ALERT, '\x01\x00\x01\x00')],
      alert: 50,
    },
    {
      what: 'application data inside a handshake message',
      pieces: (peer) => [peer.record(HANDSHAKE, keyUpdate.subarray(0, 4)), peer.data('x')],
      alert: 10,
    },
    {
      what: 'an empty record inside a handshake message',
      pieces: (peer) => [peer.record(HANDSHAKE, ticket.subarray(0, 9)), peer.data('')],
      alert: 10,
    },
    {
      what: 'a KeyUpdate with something behind it',
      pieces: (peer) => [peer.record(HANDSHAKE, Buffer.concat([keyUpdate, keyUpdate]))],
      alert: 10,
    },
    {
      what: 'a KeyUpdate that requests 2',
      pieces: (peer) => [peer.record(HANDSHAKE, Buffer.from([24, 0, 0, 1, 2]))],
      alert: 47,
    },
    {
      what: 'a KeyUpdate of two bytes',
      pieces: (peer) => [peer.record(HANDSHAKE, Buffer.from([24, 0, 0, 2, 0, 0]))],
      alert: 50,
    },
    {
      what: 'a request for a certificate',
      pieces: (peer) => [peer.record(HANDSHAKE, Buffer.from([13, 0, 0, 3, 0, 0, 0]))],
      alert: 10,
    },
    {
      what: 'a ticket from a client',
      pieces: (peer) => [peer.record(HANDSHAKE, ticket)],
      peerIsServer: false,
      alert: 10,
    },
    {
      what: 'a ticket that is too large',
      pieces: (peer) => [peer.record(HANDSHAKE, Buffer.from([4, 2, 0, 0]))],
      alert: 50,
    },
    {
      what: 'empty records without end',
      pieces: (peer) => Array.from({ length: 33 }, () => peer.data('')),
      alert: 10,
    },
    {
      what: 'KeyUpdates without end',
      pieces: (peer) =>
        Array.from({ length: 33 }, () => {
          const record = peer.record(HANDSHAKE, keyUpdateRequest);
          peer.keys.update();
          return record;
        }),
      alert: 10,
    },
  ];
  for (const { what, pieces, alert, peerIsServer } of faults) {
    it(`open() refuses ${what}`, () => {
      const reader = new Reader(peerIsServer).take(...pieces(new Peer()));
      expect(reader.end).to.include({ kind: 'fault', alert });
      expect(reader.text).to.equal('');
    });
  }

  it('open() takes empty records as long as data is between them', () => {
    const peer = new Peer();
    const reader = new Reader();
    for (let round = 0; round < 5; round++) {
      for (let empty = 0; empty < 30; empty++) reader.take(peer.data(''));
      reader.take(peer.data('.'));
    }
    expect(reader.text).to.equal('.....');
  });

  it('export() carries a partial record and a partial message over', () => {
    const peer = new Peer();
    const first = peer.record(HANDSHAKE, ticket.subarray(0, 50));
    const second = peer.record(HANDSHAKE, ticket.subarray(50));
    const third = peer.data('through');
    const all = Buffer.concat([first, second, third]);
    for (let cut = 0; cut <= all.length; cut++) {
      const reader = new Reader().take(all.subarray(0, cut));
      const { keys } = reader.records;
      const next = new Reader();
      const state = structuredClone(reader.records.export());
      const moved = new RecordKeys(suite, keys.secret(), false, keys.sequence);
      Object.assign(next, { records: new IncomingRecords(moved, true, buffers, state) });
      expect(reader.text + next.take(all.subarray(cut)).text).to.equal('through');
    }
  });
});
