import { execFileSync } from 'node:child_process';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { errnoName, getsockopt } from '#linux/libc.ts';
import { duplicateNetns, inNetns } from '#linux/netns.ts';
import { listenTcp } from '#linux/socket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import type { Loop } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { NetworkNamespace } from '#tests/support/network-namespace.ts';
import { readConfig } from '#ztunnel/config.ts';
import { DataPlane } from '#ztunnel/worker/data-plane.ts';
import { packPod } from '#ztunnel/worker/packed-pod.ts';
import type { ListenerFds } from '#ztunnel/worker/pod-listeners.ts';
import { workerSettings } from '#ztunnel/worker-settings.ts';

const POD = { namespace: 'default', name: 'shop', serviceAccount: 'default' };
const MARK = 0x5a5;
const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_TCP = 6;
const SO_KEEPALIVE = 9;
const SO_MARK = 36;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
const SOL_IPV6 = 41;
const TCP_KEEPIDLE = 4;

/** A process that may change nothing about sockets: why it does not take a pod over, or that it does. */
const POWERLESS = `
  import { listenTcp } from '#linux/socket.ts';
  import { parseSocketAddress } from '#common/net/address.ts';
  import { takeListeners } from '#ztunnel/worker/pod-listeners.ts';
  const [mustBeTransparent] = process.argv.slice(1);
  const fds = [15001, 15006, 15008].map((port) => {
    const address = parseSocketAddress('0.0.0.0:' + port);
    return listenTcp({ address, transparent: false, reusePort: true, backlog: 1 }).fd;
  });
  const listeners = { outbound: fds[0], plaintext: fds[1], inbound: fds[2] };
  const settings = { ipv6: true, reusePort: true, mustBeTransparent: mustBeTransparent === 'true' };
  console.log(takeListeners(${JSON.stringify(POD)}, listeners, settings) ?? 'takes it');
`;

describe('listeners of another process', () => {
  let netns: NetworkNamespace;
  let loop: Loop;
  let dataPlane: DataPlane;
  const open = new Set<number>();

  beforeEach(async () => {
    netns = new NetworkNamespace('ambit-adopted');
    loop = await openThreadLoop();
    dataPlane = successor({});
  });

  afterEach(() => {
    dataPlane.notice({ kind: 'cut', reason: 'the test is over' });
    for (const fd of open) closeSocket(fd);
    open.clear();
    loop.stop();
    netns[Symbol.dispose]();
  });

  function successor(env: Readonly<Record<string, string>>): DataPlane {
    const given = { LOCAL_XDS: '{}', NODE_NAME: 'near', PACKET_MARK: String(MARK), ...env };
    const read = readConfig({ KEEPALIVE_TIME: '77s', ...given }, { cpus: 1 });
    if (!('config' in read)) throw new Error(JSON.stringify(read));
    return new DataPlane(loop, workerSettings(read.config, 1_000), () => undefined);
  }

  function listening(port: number): number {
    const opened = inNetns(netns.fd, () =>
      listenTcp({
        address: parseSocketAddress(`[::]:${port}`) as SocketAddress,
        mark: 0x539,
        transparent: false,
        reusePort: true,
        backlog: 16,
        tuning: { noDelay: true, keepAlive: { idleS: 180, intervalS: 180, probes: 9 } },
      }),
    );
    if (!('fd' in opened)) throw new Error(`${opened.call}: ${errnoName(opened.errno)}`);
    return opened.fd;
  }

  const listeners = (): ListenerFds => ({
    outbound: listening(15_001),
    plaintext: listening(15_006),
    inbound: listening(15_008),
  });

  function adopt(fds: ListenerFds): Promise<unknown> {
    const netnsFd = duplicateNetns(netns.fd);
    open.add(netnsFd);
    const packed = packPod({
      uid: 'uid',
      pod: POD,
      netnsFd,
      listeners: fds,
      tunnels: [],
      outbound: [],
      inbound: [],
      plaintext: [],
    });
    return dataPlane.answer({ kind: 'adopt', pods: [packed] });
  }

  it('become transparent at once, and get the settings of this process when they are its own', async () => {
    const fds = listeners();
    await adopt(fds);
    const asBefore = { transparent: [1, 1], mark: 0x539, keepAlive: 1, idleS: 180 };
    for (const fd of Object.values(fds)) expect(settings(fd)).to.deep.equal(asBefore);
    dataPlane.notice({ kind: 'go' });
    const asHere = { transparent: [1, 1], mark: MARK, keepAlive: 1, idleS: 77 };
    for (const fd of Object.values(fds)) expect(settings(fd)).to.deep.equal(asHere);
  });

  it('send no probes any more when this process wants none', async () => {
    dataPlane = successor({ KEEPALIVE_ENABLED: 'false' });
    const fds = listeners();
    await adopt(fds);
    dataPlane.notice({ kind: 'go' });
    expect(option(fds.inbound, SOL_SOCKET, SO_KEEPALIVE)).to.equal(0);
  });

  for (const [what, wrong, problem] of [
    [
      'no TCP socket',
      () => openSocketPair().map((fd) => open.add(fd) && fd)[0],
      'it is no TCP listener',
    ],
    ['on another port', () => listening(15_007), 'it listens on port 15007'],
  ] as const) {
    it(`are not taken over when one is ${what}`, async () => {
      const fds = { ...listeners(), plaintext: wrong() as number };
      for (const fd of Object.values(fds)) open.add(fd);
      const refused = await adopt(fds).catch((error: unknown) => error);
      expect(refused).to.have.property(
        'message',
        `cannot take over the listener on port 15006 of pod default/shop: ${problem}`,
      );
      // As they were: the other process goes on with them.
      expect(option(fds.outbound, SOL_SOCKET, SO_MARK)).to.equal(0x539);
    });
  }

  function powerless(mustBeTransparent: boolean): string {
    const less = ['--bounding-set', '-net_admin,-net_raw', '--inh-caps', '-net_admin,-net_raw'];
    const program = [process.execPath, '--input-type=module', '-e', POWERLESS];
    const inside = ['netns', 'exec', netns.name, 'setpriv', ...less];
    return execFileSync('ip', [...inside, ...program, String(mustBeTransparent)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim();
  }

  it('need not be transparent for a process that is not permitted to make them so, unless they must', () => {
    expect(powerless(false)).to.equal('takes it');
    expect(powerless(true)).to.equal(
      'cannot take over the listener on port 15001 of pod default/shop: IP_TRANSPARENT is not permitted, which ENABLE_ORIG_SRC=true asks for: want the capability NET_ADMIN, or ENABLE_ORIG_SRC unset',
    );
  });
});

function option(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  expect(getsockopt(fd, level, name, value, Buffer.from([4, 0, 0, 0]))).to.equal(0);
  return value.readInt32LE(0);
}

function settings(fd: number): object {
  return {
    transparent: [option(fd, SOL_IP, IP_TRANSPARENT), option(fd, SOL_IPV6, IPV6_TRANSPARENT)],
    mark: option(fd, SOL_SOCKET, SO_MARK),
    keepAlive: option(fd, SOL_SOCKET, SO_KEEPALIVE),
    idleS: option(fd, SOL_TCP, TCP_KEEPIDLE),
  };
}
