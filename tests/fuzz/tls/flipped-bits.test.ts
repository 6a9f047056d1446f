import { randomBytes } from 'node:crypto';

import { expect } from 'chai';
import * as fc from 'fast-check';
import { after, describe, it } from 'mocha';

import { TlsContext } from '#reactor/tls/context.ts';
import type { TlsEnd } from '#reactor/tls/events.ts';
import { TlsSocket } from '#reactor/tls/socket.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { type Flip, FlippingProxy } from '#tests/support/flipping-proxy.ts';
import { identityOptions, OpensslPeer } from '#tests/support/openssl-peer.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { connectTo, Listener, Recorder, useTlsBench } from '#tests/support/tls-sockets.ts';

const DEADLINE_MS = 400;
/** What each side says before it ends. */
const clientBytes = randomBytes(3_000);
const serverBytes = randomBytes(5_000);

const flip: fc.Arbitrary<Flip> = fc.record({
  from: fc.constantFrom('client', 'server'),
  // Handshake and data of one side are some 5,000 bytes.
  offset: fc.nat(7_000),
  bit: fc.nat(7),
  pieces: fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 5 }),
});

interface Outcome {
  readonly flipped: boolean;
  readonly client: Recorder;
  readonly server: Recorder;
  readonly ends: readonly TlsEnd[];
}

describe('One flipped bit between a TLS client and a server', () => {
  const bench = useTlsBench();
  const authority = new TestAuthority();
  const context = new TlsContext(authority.issue(), { recordsPerKeyMax: 3 });
  after(() => {
    context.free();
    authority.dispose();
  });

  function speaker(says: Buffer, hears: Buffer): Recorder {
    const owner = new Recorder(bench);
    owner.onOpen = () => {
      for (let at = 0; at < says.length; at += 700) owner.write(says.subarray(at, at + 700));
    };
    owner.onData = (slab, start, end) => {
      owner.received.push(Buffer.from(slab.bytes.subarray(start, end)));
      if (owner.bytes === hears.length) owner.socket.end();
    };
    return owner;
  }

  async function run(given: Flip): Promise<Outcome> {
    const { loop, buffers } = bench;
    const client = speaker(clientBytes, serverBytes);
    const server = speaker(serverBytes, clientBytes);
    const listener = new Listener(loop, (fd) => {
      server.socket = TlsSocket.accept(loop, buffers, context, fd, server, DEADLINE_MS);
      listener.close();
    });
    const proxy = new FlippingProxy(listener.port, given);
    const fd = connectTo(await proxy.listen());
    client.socket = TlsSocket.connect(loop, buffers, context, fd, client, DEADLINE_MS);
    const ends = await Promise.all([client.untilEnd(), server.untilEnd()]);
    return { flipped: proxy.flipped, client, server, ends };
  }

  it('ends both, and neither delivers a wrong byte', async () => {
    const before = openDescriptors().size;
    let flipped = 0;
    let noticed = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(flip, { minLength: 10, maxLength: 10 }), async (flips) => {
        const outcomes = await Promise.all(flips.map(run));
        for (const { client, server, ends, ...outcome } of outcomes) {
          const atClient = Buffer.concat(client.received);
          const atServer = Buffer.concat(server.received);
          expect(atClient.equals(serverBytes.subarray(0, atClient.length))).to.equal(true);
          expect(atServer.equals(clientBytes.subarray(0, atServer.length))).to.equal(true);
          const clean = ends.every(({ kind }) => kind === 'closed');
          // Whoever met the bit knows; without one, all arrives and both end well.
          if (outcome.flipped) flipped++;
          if (outcome.flipped && !clean) noticed++;
          if (!outcome.flipped) expect(clean).to.equal(true);
          if (!outcome.flipped) expect(atServer.length).to.equal(clientBytes.length);
          if (clean) expect(atClient.length).to.equal(serverBytes.length);
        }
      }),
      { numRuns: 20 },
    );
    // Only the version of a record in the clear may have any value.
    expect(flipped).to.be.greaterThan(60);
    expect(noticed).to.be.greaterThan(flipped * 0.9);
    // The proxy's own sockets may take another turn.
    while (openDescriptors().size > before) await new Promise((done) => setImmediate(done));
  });

  it('ends a client of ours that speaks to openssl', async () => {
    const identity = identityOptions(authority, authority.issue());
    const words = ['-accept', '127.0.0.1:0', '-alpn', 'h2', '-Verify', '1', '-rev', ...identity];
    const peer = new OpensslPeer(['s_server', ...words]);
    const [, port] = await peer.prints(/ACCEPT [^\n]*:(\d+)/);
    const { loop, buffers } = bench;
    const line = 'one line that comes back reversed\n';
    const back = Buffer.from('desrever kcab semoc taht enil eno\n');
    const flips = fc.sample(flip, 60);
    for (const given of flips) {
      const proxy = new FlippingProxy(Number(port), { ...given, offset: given.offset % 3_000 });
      const client = new Recorder(bench);
      const fd = connectTo(await proxy.listen());
      client.onOpen = () => client.write(line);
      client.onData = (slab, start, end) => {
        client.received.push(Buffer.from(slab.bytes.subarray(start, end)));
        if (client.bytes >= back.length) client.socket.end();
      };
      client.socket = TlsSocket.connect(loop, buffers, context, fd, client, DEADLINE_MS);
      const timer = setTimeout(() => client.socket.end(), 2 * DEADLINE_MS);
      await client.untilEnd();
      clearTimeout(timer);
      const received = Buffer.concat(client.received);
      expect(received.equals(back.subarray(0, received.length))).to.equal(true);
    }
    await peer.stop();
  });
});
