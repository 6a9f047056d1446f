import { closeSync, readFileSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import {
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  EINVAL,
  ENETUNREACH,
  errnoName,
  getsockopt,
} from '#linux/libc.ts';
import {
  acceptTcp,
  connectTcp,
  type ListenOptions,
  listeningPort,
  listenTcp,
  localAddress,
  peerAddress,
  tuneTcp,
} from '#linux/socket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { socketError } from '#reactor/socket.ts';
import { expectNoLeak } from '#tests/support/descriptors.ts';

const keepAlive = { idleS: 180, intervalS: 60, probes: 9 };

function at(text: string): SocketAddress {
  return parseSocketAddress(text)!;
}

function listening(address: string, more: Partial<ListenOptions> = {}): number {
  const opened = listenTcp({
    address: at(address),
    transparent: false,
    reusePort: false,
    backlog: 128,
    ...more,
  });
  if (!('fd' in opened)) throw new Error(`${opened.call}: ${errnoName(opened.errno)}`);
  return opened.fd;
}

function connected(to: SocketAddress): number {
  const opened = connectTcp({ to, keepAlive, userTimeoutMs: 7_000 });
  if (!('fd' in opened)) throw new Error(`${opened.call}: ${errnoName(opened.errno)}`);
  return opened.fd;
}

function option(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  expect(getsockopt(fd, level, name, value, Buffer.from([4, 0, 0, 0]))).to.equal(0);
  return value.readInt32LE(0);
}

function flagsOf(fd: number): { nonBlocking: boolean; closeOnExec: boolean } {
  const flags = Number.parseInt(
    /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!,
    8,
  );
  return { nonBlocking: (flags & 0o4000) !== 0, closeOnExec: (flags & 0o2000000) !== 0 };
}

describe('listenTcp(), connectTcp() and acceptTcp()', () => {
  for (const [listener, dialled, name] of [
    ['127.0.0.1:0', '127.0.0.1', 'IPv4'],
    ['[::1]:0', '[::1]', 'IPv6'],
    ['[::]:0', '127.0.0.1', 'IPv4 to a dual-stack listener'],
    ['[::]:0', '[::1]', 'IPv6 to a dual-stack listener'],
  ] as const) {
    it(`connect and name both ends alike over ${name}`, () => {
      expectNoLeak(() => {
        const server = listening(listener);
        const to = at(`${dialled}:${localAddress(server)!.port}`);
        const client = connected(to);
        const accepted = acceptTcp(server);
        expect(accepted).to.be.greaterThan(0);
        expect(peerAddress(client)).to.deep.equal(to);
        expect(localAddress(accepted)).to.deep.equal(to);
        expect(peerAddress(accepted)).to.deep.equal(localAddress(client));
        expect(peerAddress(accepted)!.port).to.be.greaterThan(0);
        for (const fd of [client, accepted, server]) closeSync(fd);
      });
    });
  }

  it('never block, and do not leak into child processes', () => {
    const server = listening('127.0.0.1:0');
    const client = connected(localAddress(server)!);
    const accepted = acceptTcp(server);
    for (const fd of [server, client, accepted]) {
      expect(flagsOf(fd)).to.deep.equal({ nonBlocking: true, closeOnExec: true });
      closeSync(fd);
    }
  });

  it('let accepted sockets inherit the tuning of their listener', () => {
    const server = listening('127.0.0.1:0', {
      tuning: { noDelay: true, keepAlive, userTimeoutMs: 7_000 },
    });
    const client = connected(localAddress(server)!);
    const accepted = acceptTcp(server);
    for (const fd of [client, accepted]) {
      expect(option(fd, 6, 1), 'TCP_NODELAY').to.equal(1);
      expect(option(fd, 1, 9), 'SO_KEEPALIVE').to.equal(1);
      expect(option(fd, 6, 4), 'TCP_KEEPIDLE').to.equal(180);
      expect(option(fd, 6, 5), 'TCP_KEEPINTVL').to.equal(60);
      expect(option(fd, 6, 6), 'TCP_KEEPCNT').to.equal(9);
      expect(option(fd, 6, 18), 'TCP_USER_TIMEOUT').to.equal(7_000);
    }
    for (const fd of [server, client, accepted]) closeSync(fd);
  });
});

describe('listenTcp()', () => {
  it('says which call failed, and leaves nothing open, when the port is taken', () => {
    const first = listening('127.0.0.1:0');
    expectNoLeak(() => {
      const second = listenTcp({
        address: localAddress(first)!,
        transparent: false,
        reusePort: false,
        backlog: 1,
      });
      expect(second).to.deep.equal({ errno: -EADDRINUSE, call: 'bind' });
    });
    closeSync(first);
  });

  it('shares a port with another listener when both ask for it', () => {
    const first = listening('127.0.0.1:0', { reusePort: true });
    const second = listenTcp({
      address: localAddress(first)!,
      transparent: false,
      reusePort: true,
      backlog: 1,
    });
    expect(second).to.have.property('fd');
    if ('fd' in second) closeSync(second.fd);
    closeSync(first);
  });
});

describe('acceptTcp()', () => {
  it('answers -EAGAIN when nobody has connected', () => {
    const server = listening('127.0.0.1:0');
    expect(acceptTcp(server)).to.equal(-EAGAIN);
    closeSync(server);
  });
});

describe('connectTcp()', () => {
  it('leaves nothing open when the kernel refuses at once', () => {
    expectNoLeak(() => {
      const refused = connectTcp({ to: at('224.0.0.1:80') });
      expect(refused).to.deep.equal({ errno: -ENETUNREACH, call: 'connect' });
    });
  });

  it('gives a socket that fails later, as connecting ones do, when nobody listens', () => {
    const server = listening('127.0.0.1:0');
    const to = localAddress(server)!;
    closeSync(server);
    const client = connected(to);
    expect(socketError(client)).to.equal(-ECONNREFUSED);
    closeSync(client);
  });

  it('refuses a source address of the other family', () => {
    expectNoLeak(() => {
      const refused = connectTcp({ to: at('127.0.0.1:80'), from: at('[::1]:0') });
      expect(refused).to.deep.equal({ errno: -EINVAL, call: 'bind' });
    });
  });
});

describe('tuneTcp()', () => {
  it('changes the delay of a connection', () => {
    const server = listening('127.0.0.1:0');
    const client = connected(localAddress(server)!);
    tuneTcp(client, { noDelay: false });
    expect(option(client, 6, 1)).to.equal(0);
    for (const fd of [server, client]) closeSync(fd);
  });

  it('takes back what is not asked for any more', () => {
    const tuning = { noDelay: true, keepAlive, userTimeoutMs: 7_000 };
    const server = listening('127.0.0.1:0', { tuning });
    expect([option(server, 1, 9), option(server, 6, 18)]).to.deep.equal([1, 7_000]);
    tuneTcp(server, { noDelay: true });
    expect([option(server, 1, 9), option(server, 6, 18)]).to.deep.equal([0, 0]);
    closeSync(server);
  });
});

describe('listeningPort()', () => {
  it('tells the port of a listener, and nothing of any other descriptor', () => {
    const server = listening('127.0.0.1:0');
    const client = connected(localAddress(server)!);
    const pair = openSocketPair();
    expect(listeningPort(server)).to.equal(localAddress(server)?.port);
    for (const other of [client, ...pair]) expect(listeningPort(other)).to.equal(undefined);
    for (const fd of [server, client, ...pair]) closeSync(fd);
    expect(listeningPort(server)).to.equal(undefined);
  });
});

describe('peerAddress()', () => {
  it('answers nothing for a socket without a peer', () => {
    const server = listening('127.0.0.1:0');
    expect(peerAddress(server)).to.equal(undefined);
    closeSync(server);
  });
});
