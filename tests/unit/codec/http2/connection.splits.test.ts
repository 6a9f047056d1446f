import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { Http2Connection } from '#codec/http2/connection.ts';
import { writeData } from '#tests/support/write-data.ts';

import { CONNECT, type Event, Peer } from './peers.ts';
import { clientBytes } from './scripts.ts';

/** The events, without empty pieces of data: how many there are depends on how the input was cut. */
function eventsOf(peer: Peer): Event[] {
  return peer.recorder.take().filter((event) => event[0] !== 'data' || event[2] !== '' || event[3]);
}

/**
 * With small windows nothing is consumed: when credit is announced depends on the pieces, and so would the
 * point where a peer that does not care oversteps its window.
 */
function newServer(smallWindows: boolean): Peer {
  const options = { initialWindowSize: 200, connectionWindow: 65_535 };
  const server = new Peer('server', smallWindows ? options : {});
  if (!smallWindows) server.recorder.consumes = server.connection;
  return server;
}

/** What a server tells and writes when the bytes come in one piece. */
function inOnePiece(bytes: Buffer, smallWindows: boolean): { events: Event[]; state: unknown } {
  const server = newServer(smallWindows);
  server.receive(bytes);
  return { events: eventsOf(server), state: server.connection.export() };
}

function handOver(peer: Peer): void {
  const state = structuredClone(peer.connection.export());
  expect(JSON.parse(JSON.stringify(state)).role).to.equal(state.role);
  peer.connection = Http2Connection.restore(state, peer.recorder, peer.output);
  if (peer.recorder.consumes !== undefined) peer.recorder.consumes = peer.connection;
}

describe('Http2Connection, the same input in other pieces', () => {
  it('receive() gives the same events and ends in the same state however the input is cut', () => {
    fc.assert(
      fc.property(
        clientBytes,
        fc.boolean(),
        fc.array(fc.nat(60), { maxLength: 60 }),
        (bytes, smallWindows, lengths) => {
          const whole = inOnePiece(bytes, smallWindows);
          const server = newServer(smallWindows);
          let at = 0;
          for (const length of [...lengths, bytes.length]) {
            const end = Math.min(bytes.length, at + length);
            server.connection.receive(bytes, at, end, 0);
            at = end;
          }
          expect(eventsOf(server)).to.deep.equal(whole.events);
          expect(server.connection.export()).to.deep.equal(whole.state);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('receive() gives the same events byte by byte', () => {
    fc.assert(
      fc.property(clientBytes, fc.boolean(), (bytes, smallWindows) => {
        const whole = inOnePiece(bytes, smallWindows);
        const server = newServer(smallWindows);
        for (let at = 0; at < bytes.length; at++) server.connection.receive(bytes, at, at + 1, 0);
        expect(eventsOf(server)).to.deep.equal(whole.events);
        expect(server.connection.export()).to.deep.equal(whole.state);
      }),
      { numRuns: 100 },
    );
  });

  it('restore() of an export goes on with the same events at every byte', () => {
    fc.assert(
      fc.property(clientBytes, fc.boolean(), (bytes, smallWindows) => {
        const whole = inOnePiece(bytes, smallWindows);
        for (let cut = 0; cut <= bytes.length; cut += 1 + Math.floor(bytes.length / 40)) {
          const server = newServer(smallWindows);
          server.connection.receive(bytes, 0, cut, 0);
          const before = server.connection.export();
          handOver(server);
          expect(server.connection.export()).to.deep.equal(before);
          server.connection.receive(bytes, cut, bytes.length, 0);
          expect(eventsOf(server)).to.deep.equal(whole.events);
          expect(server.connection.export()).to.deep.equal(whole.state);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('export() changes nothing', () => {
    fc.assert(
      fc.property(clientBytes, fc.boolean(), (bytes, smallWindows) => {
        const whole = inOnePiece(bytes, smallWindows);
        const server = newServer(smallWindows);
        for (let at = 0; at < bytes.length; at += 7) {
          server.connection.receive(bytes, at, Math.min(at + 7, bytes.length), 0);
          server.connection.export();
        }
        expect(eventsOf(server)).to.deep.equal(whole.events);
      }),
      { numRuns: 50 },
    );
  });

  it('restore() keeps what was written and what may be written', () => {
    const client = new Peer('client');
    client.connection.openStream(CONNECT, false);
    const written = client.output.take();
    handOver(client);
    expect(client.output.end).to.equal(0);
    client.connection.openStream(CONNECT, false);
    const [stream] = client.connection.streams();
    expect(stream?.id).to.equal(1);
    expect(writeData(client, stream!, Buffer.alloc(5), true)).to.equal(5);
    const server = new Peer('server');
    server.receive(Buffer.concat([written, client.output.take()]));
    expect(server.recorder.take().map(([name, id]) => `${name} ${String(id)}`)).to.deep.equal([
      'settings undefined',
      'headers 1',
      'headers 3',
      'data 1',
    ]);
  });
});
