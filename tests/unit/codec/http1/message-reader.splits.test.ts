import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { ClientPeer, ServerPeer, written } from './peers.ts';
import type { Event } from './recorder.ts';
import { clientBytes, serverBytes } from './scripts.ts';

const OPTIONS = { maxHeadBytes: 512, maxTrailerBytes: 64, maxChunkExtensionBytes: 16 };

interface Result {
  readonly events: Event[];
  readonly output: string;
  readonly state: unknown;
}

/** A server that answers every request when it has ended, and every fault. */
class Answering {
  readonly peer: ServerPeer = new ServerPeer(OPTIONS);
  #output = '';

  constructor() {
    this.peer.recorder.afterwards = ([name]) => {
      if (name === 'end') this.#output += this.peer.respond(200, 'ok');
      else if (name === 'fault' && this.peer.server.canRespond)
        this.#output += this.peer.respond(400, 'no');
    };
  }

  receive(bytes: Buffer): void {
    this.peer.receive(bytes);
  }

  handOver(): void {
    this.peer.handOver();
  }

  result(): Result {
    this.peer.server.receiveEnd();
    return {
      events: this.peer.recorder.take(),
      output: this.#output + written(this.peer.output),
      state: this.peer.server.export(),
    };
  }
}

class Asking {
  readonly peer: ClientPeer = new ClientPeer(OPTIONS);

  constructor() {
    this.peer.ask('GET');
  }

  receive(bytes: Buffer): void {
    this.peer.receive(bytes);
  }

  handOver(): void {
    this.peer.handOver();
  }

  result(): Result {
    this.peer.client.receiveEnd();
    return { events: this.peer.recorder.take(), output: '', state: this.peer.client.export() };
  }
}

for (const [name, side, inputs] of [
  ['Http1Server', () => new Answering(), clientBytes],
  ['Http1Client', () => new Asking(), serverBytes],
] as const) {
  const whole = (bytes: Buffer): Result => {
    const one = side();
    one.receive(bytes);
    return one.result();
  };

  describe(`MessageReader in ${name}, the same input in other pieces`, () => {
    it('gives the same events and ends in the same state however the input is cut', () => {
      fc.assert(
        fc.property(inputs, fc.array(fc.nat(60), { maxLength: 60 }), (bytes, lengths) => {
          const other = side();
          let at = 0;
          for (const length of [...lengths, bytes.length]) {
            // A piece of its own, so that nobody can look beyond it, and that is gone afterwards.
            const piece = Buffer.from(bytes.subarray(at, at + length));
            other.receive(piece);
            piece.fill(0x0a);
            at += length;
          }
          expect(other.result()).to.deep.equal(whole(bytes));
        }),
        { numRuns: 200 },
      );
    });

    it('gives the same events at every single cut, and byte by byte', () => {
      fc.assert(
        fc.property(inputs, (bytes) => {
          const expected = whole(bytes);
          for (let cut = 1; cut < bytes.length; cut++) {
            const other = side();
            other.receive(bytes.subarray(0, cut));
            other.receive(bytes.subarray(cut));
            expect(other.result()).to.deep.equal(expected);
          }
          const single = side();
          for (let at = 0; at < bytes.length; at++) single.receive(bytes.subarray(at, at + 1));
          expect(single.result()).to.deep.equal(expected);
        }),
        { numRuns: 8 },
      );
    });

    it('restore() of an export goes on with the same events at every byte', () => {
      fc.assert(
        fc.property(inputs, (bytes) => {
          const expected = whole(bytes);
          for (let cut = 0; cut <= bytes.length; cut += 1 + Math.floor(bytes.length / 40)) {
            const other = side();
            other.receive(bytes.subarray(0, cut));
            other.handOver();
            other.receive(bytes.subarray(cut));
            expect(other.result()).to.deep.equal(expected);
          }
        }),
        { numRuns: 25 },
      );
    });
  });
}
