import { createHash, randomBytes } from 'node:crypto';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { connectionLabels } from '#dataplane/telemetry/connection-labels.ts';
import type { StreamRelayState } from '#hbone/stream.ts';
import { STAGING_BYTES, type StreamUser, Tunnel, type TunnelOwner } from '#hbone/tunnel.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab, SlabPool } from '#reactor/memory.ts';
import { closeSocket, EAGAIN, receiveInto, sendFrom } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { TlsSocket } from '#reactor/tls/socket.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { delta, storeOf, workload } from '#tests/support/mesh.ts';
import { type TestThread, threadContext } from '#tests/support/thread-context.ts';
import { APP, TestAuthority } from '#tests/support/tls-material.ts';
import { passedDescriptor, Recorder } from '#tests/support/tls-sockets.ts';
import type { AccountingState } from '#ztunnel/proxy/accounting.ts';
import type { InboundState } from '#ztunnel/proxy/inbound.ts';
import type { OutboundState } from '#ztunnel/proxy/outbound.ts';
import { PodProxy } from '#ztunnel/worker/pod-proxy.ts';
import {
  countConnections,
  descriptorsOf,
  exportPod,
  type FrozenPod,
  freezePod,
  type PodState,
  releasePod,
  renameDescriptors,
  restorePod,
  thawPod,
} from '#ztunnel/worker/pod-state.ts';

const POD = { namespace: 'default', name: 'shop', serviceAccount: 'app' };
const HERE = parseSocketAddress('10.0.0.2:15008') as SocketAddress;
const THERE = parseSocketAddress('10.0.0.1:40000') as SocketAddress;
const MISSING = 99;
/** More than a socket pair holds. */
const LEFTOVER_BYTES = 1_000_000;
const slab = allocateSlab(65_536);

type Relay = StreamRelayState;

describe('thawPod()', () => {
  it('cuts what can not go on, and lets all others go on', () => {
    const did: string[] = [];
    const part = (name: string, fails: boolean) => ({
      thaw: () => {
        if (fails) throw new Error('no room in the loop');
        did.push(`${name} goes on`);
      },
      cut: (reason: string) => did.push(`${name} is cut: ${reason}`),
      onFault: (error: Error) => did.push(`${name} has a fault: ${error.message}`),
    });
    thawPod({
      proxy: { waiting: [], resume: () => did.push('listeners go on') },
      tunnels: [part('tunnel 1', true), part('tunnel 2', false)],
      connections: [part('connection 1', true), part('connection 2', false)],
      handshakes: [],
    } as unknown as FrozenPod);
    expect(did).to.deep.equal([
      'tunnel 1 has a fault: no room in the loop',
      'tunnel 2 goes on',
      'connection 1 is cut: internal error: no room in the loop',
      'connection 2 goes on',
      'listeners go on',
    ]);
  });
});

describe('a frozen pod', () => {
  const authority = new TestAuthority();
  const tls = new TlsContext(authority.issue());
  let opened: number;
  let loop: Loop;
  let thread: TestThread;
  let far: Far;
  let proxy: PodProxy | undefined;
  const open = new Set<number>();

  before(async () => {
    loop = await openThreadLoop();
    loop.start();
  });

  after(() => {
    loop.stop();
    authority.dispose();
  });

  beforeEach(() => {
    opened = openDescriptors().size;
    const mesh = storeOf({ workloads: [] });
    mesh.apply(
      delta({ upsertWorkloads: [workload('shop', '10.0.0.2', { serviceAccount: 'app' })] }),
    );
    thread = threadContext(loop, mesh);
  });

  afterEach(async () => {
    proxy?.close('the test is over');
    far?.close();
    for (const fd of open) closeSocket(fd);
    open.clear();
    await until(() => openDescriptors().size <= opened).catch(() => undefined);
    expect(openDescriptors().size).to.equal(opened);
  });

  function opens(): readonly [number, number] {
    const pair = openSocketPair();
    for (const fd of pair) open.add(fd);
    return pair;
  }

  /** One end of a pair is the proxy's from now on; the other stays the test's. */
  function givesAway(): { readonly kept: number; readonly given: number } {
    const [kept, given] = opens();
    open.delete(given);
    return { kept, given };
  }

  function listeners(): PodState['listeners'] {
    const [outbound, plaintext, inbound] = [givesAway(), givesAway(), givesAway()];
    return { outbound: outbound.given, plaintext: plaintext.given, inbound: inbound.given };
  }

  /** A pod with one open tunnel of each role, as another process has told it. */
  async function stateWith(
    outbound: readonly [fd: number, relay: Relay][],
    inbound: readonly [fd: number, relay: Relay][],
  ): Promise<PodState> {
    far = await Far.open(thread, tls);
    const { client, server } = far.give();
    return {
      uid: 'uid',
      pod: POD,
      netnsFd: opens()[0],
      listeners: listeners(),
      tunnels: [
        {
          ...client,
          target: {
            sourceIdentity: APP,
            expectedIdentities: [APP],
            address: HERE,
            sourceIp: '10.0.0.1',
          },
          inbound: [],
          outbound: outbound.map(([fd, relay]) => ({ fd, state: outboundState(relay) })),
        },
        {
          ...server,
          target: undefined,
          inbound: inbound.map(([fd, relay]) => ({ fd, state: inboundState(relay) })),
          outbound: [],
        },
      ],
      outbound: [],
      inbound: [],
      plaintext: [],
    };
  }

  function inboundState(relay: Relay): InboundState {
    const shop = thread.mesh.localWorkload(POD);
    if (shop === undefined) throw new Error('The pod is known');
    const facts = {
      sourceIp: THERE.ip,
      destinationIp: HERE.ip,
      destinationPort: 80,
      identity: APP,
    };
    return {
      facts: facts as InboundState['facts'],
      workload: shop,
      accounting: accounting('inbound'),
      relay,
    };
  }

  function restored(state: PodState): FrozenPod {
    const frozen = restorePod(thread, state);
    ({ proxy } = frozen);
    return frozen;
  }

  const errors = (): readonly string[] =>
    thread.written.map(({ direction, error }) => `${direction}: ${error ?? ''}`);

  /** A pod that has the rest of an answer for its reader, without a tunnel. */
  async function withRest(
    direction: 'outbound' | 'inbound',
  ): Promise<{ readonly reader: number; readonly digest: string }> {
    const { kept, given } = givesAway();
    const pending = randomBytes(LEFTOVER_BYTES);
    const relay = { ...relayOf(1), pending, appEnded: true, peerEnded: true };
    const last: [number, Relay] = [given, relay];
    const state = await (direction === 'outbound' ? stateWith([last], []) : stateWith([], [last]));
    thawPod(restored(state));
    far.close();
    await until(() => [...(proxy?.context.pool.open() ?? [])].length === 0);
    await until(() => proxy?.inbound.tunnels.size === 0);
    return { reader: kept, digest: sha256(pending) };
  }

  describe('that is restored', () => {
    it('cuts the connections of which the tunnel knows nothing, and goes on with the others', async () => {
      const [good, lostOut, lostIn] = [givesAway(), givesAway(), givesAway()];
      const state = await stateWith(
        [
          [good.given, relayOf(1)],
          [lostOut.given, relayOf(MISSING)],
        ],
        [[lostIn.given, relayOf(MISSING)]],
      );
      const frozen = restored(state);
      for (const { kept } of [lostOut, lostIn]) expect(receive(kept)).to.equal('');
      const cut =
        /connection closed: it could not be continued by the successor process: .*stream 99/;
      expect(thread.written.map(({ direction }) => direction)).to.deep.equal([
        'outbound',
        'inbound',
      ]);
      for (const { error } of thread.written) expect(error).to.match(cut);
      expect(frozen.connections).to.have.length(1);
      expect(thread.metrics.socketsOpen).to.deep.equal({ source: 1, destination: 0 });
      thawPod(frozen);
      send(good.kept, 'hello');
      await until(() => far.heard === 'hello');
      expect(errors()).to.have.length(2);
    });
  });

  describe('with a handshake', () => {
    let client: Recorder;

    beforeEach(() => {
      const { kept, given } = givesAway();
      open.delete(kept);
      proxy = new PodProxy(thread, 'uid', POD, opens()[0]);
      proxy.adoptListeners(listeners());
      proxy.startTunnel(given, { local: HERE, remote: THERE }, tls);
      const bench = { loop, buffers: allocateTlsBuffers() };
      client = new Recorder(bench);
      client.socket = TlsSocket.connect(loop, bench.buffers, tls, kept, client, 10_000);
    });

    afterEach(() => client.socket.destroy());

    it('does nothing while it stands still, and ends the handshake when it goes on', async () => {
      const frozen = freezePod(proxy as PodProxy);
      expect(frozen.handshakes).to.have.length(1);
      expect(countConnections(exportPod(frozen))).to.equal(0);
      await until(() => client.socket.state === 'handshaking');
      await turns(20);
      expect(client.socket.state).to.equal('handshaking');
      expect(proxy?.unfinished).to.equal(1);
      thawPod(frozen);
      await client.untilOpen();
      await until(() => proxy?.unfinished === 0);
      expect(freezePod(proxy as PodProxy).tunnels).to.have.length(1);
    });

    it('ends it when another process has the pod', async () => {
      const frozen = freezePod(proxy as PodProxy);
      expect(exportPod(frozen).tunnels).to.deep.equal([]);
      releasePod(frozen);
      expect(await client.untilEnd())
        .to.have.property('kind')
        .that.is.oneOf(['error', 'truncated']);
      expect(proxy?.inbound.tunnels.size).to.equal(0);
    });
  });

  describe('with the rest of an answer whose tunnel has ended', () => {
    for (const direction of ['outbound', 'inbound'] as const) {
      it(`moves it, ${direction}, and its reader gets every byte`, async () => {
        const { reader, digest } = await withRest(direction);
        const read = createHash('sha256');
        const some = receiveInto(reader, slab, 0, slab.size);
        read.update(slab.bytes.subarray(0, some));
        const former = proxy as PodProxy;
        const frozen = freezePod(former);
        const exported = exportPod(frozen);
        expect(countConnections(exported)).to.equal(1);
        const state = passed(exported);
        releasePod(frozen);
        expect(former.context.live.size).to.equal(0);
        const successor = restored(state);
        expect(errors()).to.deep.equal([]);
        thawPod(successor);
        await until(() => {
          for (;;) {
            const length = receiveInto(reader, slab, 0, slab.size);
            if (length <= 0) return length === 0;
            read.update(slab.bytes.subarray(0, length));
          }
        });
        expect(read.digest('hex')).to.equal(digest);
        await until(() => successor.proxy.context.live.size === 0);
        expect(errors()).to.deep.equal([`${direction}: `]);
      });
    }

    it('stands still while it is frozen, and goes on', async () => {
      const { reader, digest } = await withRest('outbound');
      const frozen = freezePod(proxy as PodProxy);
      const read = createHash('sha256');
      const take = (): number => {
        const length = receiveInto(reader, slab, 0, slab.size);
        if (length > 0) read.update(slab.bytes.subarray(0, length));
        return length;
      };
      // What was on its way before.
      while (take() > 0);
      await turns(20);
      expect(take()).to.equal(-EAGAIN);
      thawPod(frozen);
      await until(() => {
        for (;;) {
          const length = take();
          if (length <= 0) return length === 0;
        }
      });
      expect(read.digest('hex')).to.equal(digest);
    });

    it('cuts it with the pod', async () => {
      const { reader } = await withRest('outbound');
      proxy?.close('no time left');
      expect(errors()).to.deep.equal(['outbound: no time left']);
      expect(proxy?.context.live.size).to.equal(0);
      await until(() => ['', 'ECONNRESET'].includes(drained(reader)));
    });
  });

  /** As it comes to another process: with copies of all descriptors. */
  function passed(exported: PodState): PodState {
    const state = structuredClone(exported);
    const sent = new Map(descriptorsOf(state).map((fd) => [fd, passedDescriptor(fd)]));
    const received = renameDescriptors(state, (fd) => sent.get(fd) as number);
    open.add(received.netnsFd);
    return received;
  }
});

function outboundState(relay: Relay): OutboundState {
  const transport = { kind: 'stream', relay } as const;
  return {
    accepted: { source: THERE, target: HERE, startMs: 1 },
    accounting: accounting('outbound'),
    transport,
  };
}

function accounting(direction: 'inbound' | 'outbound'): AccountingState {
  return {
    record: {
      direction,
      source: { address: '10.0.0.1:40000' },
      destination: { address: '10.0.0.2:80' },
      startMs: 1,
      bytesSent: 0,
      bytesReceived: 0,
    },
    labels: connectionLabels({
      reporter: direction === 'inbound' ? 'destination' : 'source',
      source: {},
      destination: {},
      service: undefined,
      mutualTls: true,
    }),
    isClaimed: false,
    countedReceived: 0,
    countedSent: 0,
  };
}

function relayOf(streamId: number): Relay {
  return {
    streamId,
    phase: 'open',
    pending: new Uint8Array(),
    appEnded: false,
    peerEnded: false,
    finSent: false,
    toTunnel: 0,
    fromTunnel: 0,
  };
}

/** The far ends of two open tunnels, one of each role, each with stream 1 open. */
class Far implements TunnelOwner, StreamUser {
  heard = '';
  readonly #tunnels: Tunnel[] = [];
  readonly #near: Tunnel[] = [];
  #streams = 0;

  static async open(thread: TestThread, tls: TlsContext): Promise<Far> {
    const far = new Far();
    const { loop } = thread;
    // Of its own: the pod's tunnels are another process's.
    const host = {
      loop,
      buffers: allocateTlsBuffers(),
      staging: new SlabPool(STAGING_BYTES, 1),
      options: thread.tunnels.options,
      ending: new Set<Tunnel>(),
    };
    const ends = { local: HERE, remote: THERE };
    for (const role of ['client', 'server'] as const) {
      const [near, fd] = openSocketPair();
      const [dialing, accepting] = role === 'client' ? [near, fd] : [fd, near];
      const client = Tunnel.dial(host, far, tls, { fd: dialing, ...ends });
      const server = Tunnel.accept(host, far, tls, { fd: accepting, ...ends });
      const [one, other] = role === 'client' ? [client, server] : [server, client];
      far.#near.push(one);
      far.#tunnels.push(other);
    }
    await until(() => far.#streams === 2);
    return far;
  }

  /** The near ends, as data; they are not ours any more. */
  give(): Record<'client' | 'server', Pick<PodState['tunnels'][number], 'fd' | 'state'>> {
    const [client, server] = this.#near.splice(0).map((tunnel) => {
      tunnel.freeze();
      const moved = { fd: passedDescriptor(tunnel.fd), state: structuredClone(tunnel.export()) };
      tunnel.release();
      return moved;
    });
    if (client === undefined || server === undefined) throw new Error('They were given already');
    return { client, server };
  }

  close(): void {
    const end = { failed: false, reason: 'the test is over', stage: 'open' } as const;
    for (const tunnel of [...this.#near, ...this.#tunnels]) tunnel.close(end);
  }

  onTunnelPeer(tunnel: Tunnel): undefined {
    tunnel.peerIdentity = APP;
  }

  onTunnelOpen(tunnel: Tunnel): void {
    if (tunnel.role === 'server') return;
    const stream = tunnel.openStream([
      [':method', 'CONNECT'],
      [':authority', '10.0.0.2:80'],
    ]);
    if (stream !== undefined) stream.owner = this;
  }

  onTunnelRequest(tunnel: Tunnel, stream: Parameters<TunnelOwner['onTunnelRequest']>[1]): void {
    stream.owner = this;
    tunnel.respond(stream, [[':status', '200']], false);
  }

  onTunnelRoom(): void {
    // It opens one stream.
  }

  onTunnelEnd(): void {
    // The pod's end is what is looked at.
  }

  onTunnelClosed(): void {
    // The same.
  }

  onStreamHeaders(): void {
    this.#streams++;
  }

  onStreamData(from: { readonly bytes: Buffer }, start: number, end: number): void {
    this.heard += from.bytes.toString('latin1', start, end);
  }

  onStreamEnd(): void {
    // Nothing of it is looked at.
  }

  onStreamReset(): void {
    // The same.
  }

  onStreamRoom(): void {
    // It sends nothing.
  }

  onTunnelGone(): void {
    // The same.
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function send(fd: number, text: string): void {
  sendFrom(fd, slab, 0, slab.bytes.write(text));
}

/** What is there: a text, empty at the end; undefined when nothing is. */
function receive(fd: number): string | undefined {
  const length = receiveInto(fd, slab, 0, slab.size);
  if (length === -EAGAIN) return undefined;
  return length < 0 ? 'ECONNRESET' : slab.bytes.toString('latin1', 0, length);
}

/** The last of what is there. */
function drained(fd: number): string {
  let last = receive(fd);
  for (let next = last; next !== undefined && next.length > 0; next = receive(fd)) {
    last = next;
    if (next === 'ECONNRESET') return next;
  }
  return receive(fd) ?? last ?? 'nothing yet';
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function until(happened: () => boolean): Promise<void> {
  const giveUpMs = performance.now() + 5_000;
  while (!happened()) {
    if (performance.now() > giveUpMs) throw new Error('It did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
