import { once } from 'node:events';
import { createConnection } from 'node:net';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { parseSocketAddress } from '#common/net/address.ts';
import { getrlimit, setrlimit } from '#linux/libc.ts';
import { listenTcp, localAddress } from '#linux/socket.ts';
import { ACCEPT_PAUSE_MS, Listener } from '#reactor/listener.ts';
import type { Loop } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

const RLIMIT_NOFILE = 7;
const PAUSES = 3;

describe('Listener', () => {
  let loop: Loop;

  before(async () => {
    loop = await openThreadLoop();
    loop.start();
  });
  after(() => loop.stop());

  it('looks away from its socket while there are no descriptors, and accepts when there are', async () => {
    const opened = listenTcp({
      address: parseSocketAddress('127.0.0.1:0')!,
      transparent: false,
      reusePort: false,
      backlog: 16,
    });
    if (!('fd' in opened)) throw new Error('listen');
    const problems: string[] = [];
    const paused = Promise.withResolvers<void>();
    const accepted = Promise.withResolvers<number>();
    const take = (fd: number): void => {
      accepted.resolve(fd);
      loop.returnToNode();
    };
    const listener = new Listener(loop, opened.fd, take, (problem) => {
      problems.push(problem);
      if (problems.length === PAUSES) paused.resolve();
      loop.returnToNode();
    });
    const client = createConnection({ host: '127.0.0.1', port: localAddress(opened.fd)!.port });
    await once(client, 'connect');

    const limits = Buffer.alloc(16);
    getrlimit(RLIMIT_NOFILE, limits);
    const none = Buffer.from(limits);
    // Every descriptor that is free now is beyond the limit.
    none.writeBigUInt64LE(0n, 0);
    const began = performance.now();
    setrlimit(RLIMIT_NOFILE, none);
    try {
      listener.resume();
      await paused.promise;
    } finally {
      setrlimit(RLIMIT_NOFILE, limits);
    }
    expect(new Set(problems)).to.deep.equal(new Set(['EMFILE']));
    // One look per pause: without them there would be thousands.
    expect(performance.now() - began).to.be.at.least((PAUSES - 1) * ACCEPT_PAUSE_MS - 1);
    closeSocket(await accepted.promise);
    listener.close();
    client.destroy();
  });
});
