import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';

import { expect } from 'chai';
import { after, describe, it } from 'mocha';

import { allocateSlab } from '#reactor/memory.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import {
  clientOf,
  type Recorder,
  serveOne,
  type TlsBench,
  useTlsBench,
} from '#tests/support/tls-sockets.ts';

const authority = new TestAuthority();
const ours = authority.issue();
const theirs = authority.issue();
const options = {
  ca: theirs.rootsPem,
  cert: theirs.chainPem.join(''),
  key: theirs.privateKeyPem,
  ALPNProtocols: ['h2'],
  minVersion: 'TLSv1.3',
  // Names are not hosts here.
  checkServerIdentity: (): undefined => undefined,
} as const;

interface Connection {
  readonly us: Recorder;
  readonly them: TLSSocket;
}

async function weServe(bench: TlsBench, context: TlsContext): Promise<Connection> {
  const { port, server } = serveOne(bench, context);
  const them = connect({ ...options, port, host: '127.0.0.1' });
  await Promise.all([once(them, 'secureConnect'), server.untilOpen()]);
  return { us: server, them };
}

async function theyServe(bench: TlsBench, context: TlsContext): Promise<Connection> {
  const listener = createServer({ ...options, requestCert: true, rejectUnauthorized: true });
  const connected = once(listener, 'secureConnection');
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const client = clientOf(bench, context, port);
  const [them] = (await connected) as [TLSSocket];
  await client.untilOpen();
  listener.close();
  return { us: client, them };
}

const LENGTH = 24 << 20;
const WRITE = 300_000;

describe('TLS with node:tls', () => {
  after(() => authority.dispose());

  for (const [title, open] of [
    ['a server of ours and a client of Node', weServe],
    ['a client of ours and a server of Node', theyServe],
  ] as const) {
    describe(title, () => {
      const bench = useTlsBench();
      // A key lasts a few hundred KiB, so that a transfer renews it again and again.
      const context = new TlsContext(ours, { recordsPerKeyMax: 20 });
      after(() => context.free());

      it('carry a large transfer to us', async () => {
        const { us, them } = await open(bench, context);
        const sent = createHash('sha256');
        const received = createHash('sha256');
        us.onData = (slab, start, end) => received.update(slab.bytes.subarray(start, end));
        for (let left = LENGTH; left > 0; left -= WRITE) {
          const bytes = randomBytes(Math.min(left, WRITE));
          sent.update(bytes);
          if (!them.write(bytes)) await once(them, 'drain');
        }
        them.end();
        expect(await us.untilEnd()).to.deep.equal({ kind: 'closed' });
        expect(us.bytes).to.equal(LENGTH);
        expect(received.digest('hex')).to.equal(sent.digest('hex'));
      });

      it('carry a large transfer from us to a reader that pauses', async () => {
        const { us, them } = await open(bench, context);
        const sent = createHash('sha256');
        const received = createHash('sha256');
        let left = LENGTH;
        const slab = allocateSlab(WRITE + 1);
        const more = (): void => {
          while (!us.socket.blocked && left > 0) {
            const length = Math.min(left, WRITE);
            randomBytes(length).copy(slab.bytes);
            sent.update(slab.bytes.subarray(0, length));
            us.socket.write(slab, 0, length);
            left -= length;
          }
          if (left === 0) us.socket.end();
        };
        us.onDrained = more;
        let bytes = 0;
        them.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          received.update(chunk);
          if (bytes % 7 !== 0) return;
          them.pause();
          setImmediate(() => them.resume());
        });
        more();
        expect(us.socket.blocked).to.equal(true);
        await once(them, 'end');
        them.end();
        expect(bytes).to.equal(LENGTH);
        expect(received.digest('hex')).to.equal(sent.digest('hex'));
        expect(us.drained).to.be.greaterThan(3);
        await us.untilEnd();
      });

      it('hold data back while we do not read', async () => {
        const { us, them } = await open(bench, context);
        us.onOpen = undefined;
        us.socket.pauseReading();
        const block = Buffer.alloc(WRITE, 1);
        let written = 0;
        while (them.write(block)) written += WRITE;
        while (them.writableLength < 4 * WRITE) {
          them.write(block);
          written += WRITE;
        }
        expect(us.bytes).to.equal(0);
        us.socket.resumeReading();
        await us.until(() => us.bytes >= written);
        them.destroy();
        expect((await us.untilEnd()).kind).to.be.oneOf(['closed', 'truncated', 'error']);
      });

      it('end closed in both directions', async () => {
        const first = await open(bench, context);
        first.them.resume();
        first.us.socket.end();
        await once(first.them, 'end');
        expect(await first.us.untilEnd()).to.deep.equal({ kind: 'closed' });

        const second = await open(bench, context);
        second.them.resume();
        second.them.end('last words');
        expect(await second.us.untilEnd()).to.deep.equal({ kind: 'closed' });
        expect(second.us.text).to.equal('last words');
        await once(second.them, 'close');
      });
    });
  }
});
