import { randomBytes, randomInt } from 'node:crypto';

import { expect } from 'chai';
import { after, describe, it } from 'mocha';

import { allocateSlab } from '#reactor/memory.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { handOver, openTlsPair, type Recorder, useTlsBench } from '#tests/support/tls-sockets.ts';

/** The stream that both sides send: this block again and again. */
const block = randomBytes(100_003);
const slab = allocateSlab(2 * block.length + 1);
block.copy(slab.bytes, 0);
block.copy(slab.bytes, block.length);

/** Sends the stream as fast as the socket takes it, and checks that the other side's arrives unchanged. */
class Streamer {
  received = 0;
  wrong = 0;
  readonly owner: Recorder;
  readonly #length: number;
  #sent = 0;

  constructor(owner: Recorder, length: number) {
    this.owner = owner;
    this.#length = length;
    owner.onData = (from, start, end) => {
      const at = this.received % block.length;
      for (let offset = 0; offset < end - start; ) {
        const place = (at + offset) % block.length;
        const count = Math.min(end - start - offset, block.length - place);
        const got = from.bytes.subarray(start + offset, start + offset + count);
        if (!got.equals(block.subarray(place, place + count))) this.wrong++;
        offset += count;
      }
      this.received += end - start;
    };
    owner.onDrained = () => this.more();
  }

  more(): void {
    const { socket } = this.owner;
    while (!socket.blocked && this.#sent < this.#length) {
      const count = Math.min(randomInt(1, 60_000), this.#length - this.#sent);
      const at = this.#sent % block.length;
      socket.write(slab, at, at + count);
      this.#sent += count;
    }
  }
}

describe('A TLS connection that moves', () => {
  const bench = useTlsBench();
  const authority = new TestAuthority();
  const context = new TlsContext(authority.issue(), { recordsPerKeyMax: 7 });
  after(() => {
    context.free();
    authority.dispose();
  });

  it('loses no byte when both ends move at random points under traffic', async () => {
    const before = openDescriptors().size;
    const { client, server } = await openTlsPair(bench, context);
    const length = 12 << 20;
    const streamers = [new Streamer(client, length), new Streamer(server, length)];
    let moves = 0;
    let waiting = 0;
    let partial = 0;
    for (const streamer of streamers) streamer.more();
    while (streamers.some(({ received }) => received < length)) {
      const busy = [client, server].filter(({ bytes }) => bytes < length);
      const watched = busy[randomInt(busy.length)]!;
      const enough = Math.min(watched.bytes + randomInt(1, 200_000), length);
      await watched.until(() => watched.bytes >= enough);
      const owner = randomInt(2) === 0 ? client : server;
      owner.socket.freeze();
      const state = owner.socket.export();
      if (state.writing.waiting.length > 0) waiting++;
      if (state.reading.received.length > 0) partial++;
      owner.socket.thaw();
      handOver(bench, owner);
      moves++;
      for (const streamer of streamers) streamer.more();
    }
    expect(streamers.map(({ wrong }) => wrong)).to.deep.equal([0, 0]);
    expect(streamers.map(({ received }) => received)).to.deep.equal([length, length]);
    // The test is about these cases.
    expect(moves).to.be.greaterThan(20);
    expect(waiting, 'moves with unsent ciphertext').to.be.greaterThan(0);
    expect(partial, 'moves within a record').to.be.greaterThan(0);
    client.socket.end();
    expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
    await client.untilEnd();
    expect(openDescriptors().size).to.equal(before);
  });

  it('goes on after a hand-over that failed, as if nothing had happened', async () => {
    const { client, server } = await openTlsPair(bench, context);
    server.socket.freeze();
    const first = server.socket.export();
    client.write('meanwhile');
    expect(server.socket.export(), 'no byte is read').to.deep.equal(first);
    server.write('queued');
    server.socket.thaw();
    await client.until(() => client.text === 'queued');
    await server.until(() => server.text === 'meanwhile');
    client.socket.destroy();
    await server.untilEnd();
  });

  it('stays paused when its reading was paused', async () => {
    const { client, server } = await openTlsPair(bench, context);
    server.socket.pauseReading();
    client.write('held back');
    handOver(bench, server);
    server.write('answer');
    await client.until(() => client.text === 'answer');
    expect(server.text).to.equal('');
    server.socket.resumeReading();
    await server.until(() => server.text === 'held back');
    client.socket.destroy();
    await server.untilEnd();
  });

  it('sends nothing when it is released', async () => {
    const { client, server } = await openTlsPair(bench, context);
    server.write('before');
    handOver(bench, server);
    server.write(' after');
    await client.until(() => client.text === 'before after');
    client.socket.end();
    expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
  });

  it('is not exported unless it is open and frozen', async () => {
    const { client, server } = await openTlsPair(bench, context);
    expect(() => client.socket.export()).to.throw('only an open, frozen connection');
    client.socket.end();
    client.socket.freeze();
    expect(() => client.socket.export()).to.throw('only an open, frozen connection');
    client.socket.thaw();
    await Promise.all([client.untilEnd(), server.untilEnd()]);
  });

  it('is data that structured clone keeps and JSON can carry', async () => {
    const { client, server } = await openTlsPair(bench, context);
    client.socket.freeze();
    const state = client.socket.export();
    expect(structuredClone(state)).to.deep.equal(state);
    client.socket.thaw();
    client.socket.destroy();
    await server.untilEnd();
  });
});
