import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseIp } from '#common/net/address.ts';
import { connectTcp } from '#linux/socket.ts';
import { allocateOwnedDescriptors, closeOwned } from '#reactor/owned-descriptors.ts';
import { closeSocket, resetSocket } from '#reactor/socket.ts';

/** Listens, says on which port, closes one of two other descriptors, and goes on until it is killed. */
const THREAD = `
const { parentPort, workerData } = await import('node:worker_threads');
const load = (path) => import(new URL(path, workerData.root));
const { noteDescriptorsIn, own } = await load('reactor/owned-descriptors.ts');
const { closeSocket } = await load('reactor/socket.ts');
const { listenTcp, localAddress } = await load('linux/socket.ts');
const { parseIp } = await load('common/net/address.ts');
noteDescriptorsIn(workerData.owned);
const open = (port) => {
  const address = { ip: parseIp('127.0.0.1'), port };
  const { fd } = listenTcp({ address, transparent: false, reusePort: true, backlog: 1 });
  own(fd);
  return fd;
};
const fd = open(0);
const { port } = localAddress(fd);
open(port);
closeSocket(open(port));
parentPort.on('message', () => undefined);
parentPort.postMessage(port);
`;

describe('closeOwned()', () => {
  it('closes what a killed thread had open, and only that, once', async () => {
    const owned = allocateOwnedDescriptors();
    const root = new URL('../../../', import.meta.url).href;
    const code = new URL(`data:text/javascript,${encodeURIComponent(THREAD)}`);
    const worker = new Worker(code, { workerData: { owned, root } });
    const [port] = (await once(worker, 'message')) as [number];
    await worker.terminate();
    expect(closeOwned(owned, closeSocket)).to.equal(2);
    expect(closeOwned(owned, closeSocket)).to.equal(0);
    // Nobody listens there any more, or this would fail with EADDRINUSE.
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
  });

  for (const [close, end] of [
    [resetSocket, 'ECONNRESET'],
    [closeSocket, 'end'],
  ] as const) {
    it(`ends connections with ${end} by ${close.name}()`, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const accepted = once(server, 'connection');
      const { port } = server.address() as AddressInfo;
      const dialed = connectTcp({ to: { ip: parseIp('127.0.0.1')!, port } });
      const [peer] = (await accepted) as [Socket];
      const ended = new Promise<string>((resolve) => {
        peer.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
        peer.once('end', () => resolve('end'));
      });
      peer.resume();
      const owned = allocateOwnedDescriptors();
      const { fd } = dialed as { fd: number };
      new Uint8Array(owned)[fd >> 3] = 1 << (fd & 7);
      expect(closeOwned(owned, close)).to.equal(1);
      expect(await ended).to.equal(end);
      peer.destroy();
      server.close();
    });
  }
});
