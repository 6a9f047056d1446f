import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { Http2Connection } from '#codec/http2/connection.ts';
import type { Http2Options } from '#codec/http2/options.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { writeData } from '#tests/support/write-data.ts';

import { CONNECT, connectedPair, OK, type Peer } from './peers.ts';

/** What one direction of one stream has carried. */
interface Direction {
  sent: string;
  received: string;
  ended: boolean;
  endReceived: boolean;
}

const OPERATIONS = ['open', 'send', 'end', 'consume', 'reset', 'carry', 'hand over'] as const;

const operation = fc.record({
  kind: fc.constantFrom(...OPERATIONS, 'send', 'send', 'carry', 'consume'),
  byClient: fc.boolean(),
  which: fc.nat(30),
  length: fc.oneof(fc.nat(30), fc.nat(40_000)),
});

type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

/** Two ends in memory, and what each stream should have carried. */
class Joined {
  readonly client: Peer;
  readonly server: Peer;
  readonly directions = new Map<string, Direction>();
  #letter = 0;

  constructor(options: Http2Options) {
    [this.client, this.server] = connectedPair(options, options);
  }

  open(): void {
    const stream = this.client.connection.openStream(CONNECT, false);
    if (stream !== undefined) this.client.recorder.streams.set(stream.id, stream);
  }

  send(peer: Peer, stream: Http2Stream, length: number, end: boolean): void {
    const text = String.fromCharCode(97 + (this.#letter++ % 26)).repeat(length);
    const bytes = Buffer.from(text);
    const taken = writeData(peer, stream, bytes.subarray(0, length), end);
    const direction = this.direction(stream.id, peer === this.client);
    direction.sent += text.slice(0, taken);
    if (stream.localEnded) direction.ended = true;
  }

  carry(from: Peer, to: Peer): void {
    to.receive(from.output.take());
    for (const [name, id, what, end] of to.recorder.take()) {
      expect(name, JSON.stringify(what)).to.not.equal('fault');
      if (name === 'headers' && to === this.server)
        to.connection.sendHeaders(to.stream(Number(id)), OK, false);
      if (name !== 'data') continue;
      const direction = this.direction(Number(id), from === this.client);
      direction.received += String(what);
      direction.endReceived ||= end === true;
    }
  }

  direction(id: number, fromClient: boolean): Direction {
    const key = `${id} ${fromClient ? 'up' : 'down'}`;
    const known = this.directions.get(key);
    if (known !== undefined) return known;
    const direction = { sent: '', received: '', ended: false, endReceived: false };
    this.directions.set(key, direction);
    return direction;
  }
}

function handOver(peer: Peer): void {
  const state = structuredClone(peer.connection.export());
  peer.connection = Http2Connection.restore(state, peer.recorder, peer.output);
  for (const stream of peer.connection.streams()) peer.recorder.streams.set(stream.id, stream);
}

/** When everything has been carried and consumed, what one side may send is what the other will take. */
function expectWindowsAgree(from: Peer, to: Peer): void {
  const sender = from.connection.export();
  const receiver = to.connection.export();
  expect(sender.sendWindow).to.equal(receiver.receiveLeft);
  const held = receiver.streams.reduce((sum, stream) => sum + stream.unconsumed, 0);
  expect(receiver.receiveLeft + receiver.receiveCredit + held).to.equal(
    receiver.options.connectionWindow,
  );
  for (const stream of sender.streams) {
    const other = receiver.streams.find(({ id }) => id === stream.id);
    if (other === undefined || other.remoteEnded) continue;
    expect(stream.sendWindow).to.equal(other.receiveLeft);
    expect(other.receiveLeft + other.receiveCredit + other.unconsumed).to.equal(
      receiver.options.initialWindowSize,
    );
  }
}

function perform(joined: Joined, { kind, byClient, which, length }: Operation): void {
  const { client, server } = joined;
  const peer = byClient ? client : server;
  if (kind === 'open') joined.open();
  else if (kind === 'hand over') handOver(peer);
  else if (kind === 'carry') joined.carry(peer, byClient ? server : client);
  else {
    const streams = [...peer.connection.streams()];
    const stream = streams[which % Math.max(1, streams.length)];
    if (stream === undefined || !stream.headersSent) return;
    if (kind === 'send') joined.send(peer, stream, length, false);
    else if (kind === 'end') joined.send(peer, stream, length % 10, true);
    else if (kind === 'consume') peer.connection.consume(stream, length);
    else if (length % 4 === 0) peer.connection.reset(stream, 8);
  }
}

describe('two Http2Connections, joined', () => {
  for (const [what, options] of [
    ['small windows', { initialWindowSize: 100, connectionWindow: 65_535 }],
    ['the smallest window', { initialWindowSize: 1, connectionWindow: 65_535 }],
    ['streams that share a window', { initialWindowSize: 60_000, connectionWindow: 65_535 }],
    ['the default windows', {}],
  ] as const)
    it(`lose no byte and agree on windows, whatever they do, with ${what}`, () => {
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 120, size: 'max' }), (operations) => {
          const joined = new Joined(options);
          for (const step of operations) perform(joined, step);
          // Everything that is on its way arrives, and what was received is consumed.
          for (let round = 0; round < 4; round++) {
            joined.carry(joined.client, joined.server);
            joined.carry(joined.server, joined.client);
          }
          expectWindowsAgree(joined.client, joined.server);
          expectWindowsAgree(joined.server, joined.client);
          for (const [key, direction] of joined.directions) {
            expect(direction.sent.startsWith(direction.received), key).to.equal(true);
            const id = Number(key.split(' ')[0]);
            const alive = [
              ...joined.client.connection.streams(),
              ...joined.server.connection.streams(),
            ];
            if (!alive.some((stream) => stream.id === id)) continue;
            if (alive.filter((stream) => stream.id === id).length < 2) continue;
            expect(direction.received, key).to.equal(direction.sent);
            expect(direction.endReceived, key).to.equal(direction.ended);
          }
        }),
        { numRuns: 100 },
      );
    });
});
