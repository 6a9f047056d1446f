import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { closeSocket, EAGAIN, receiveInto } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { delta, policy, workload } from '#tests/support/mesh.ts';
import { type TestThread, threadContext } from '#tests/support/thread-context.ts';
import { passedDescriptor } from '#tests/support/tls-sockets.ts';
import { acceptPlaintext } from '#ztunnel/proxy/inbound-passthrough.ts';
import type { Accepted } from '#ztunnel/proxy/outbound.ts';
import { type ListenerFds, PodProxy } from '#ztunnel/worker/pod-proxy.ts';
import {
  descriptorsOf,
  exportPod,
  freezePod,
  type PodState,
  releasePod,
  renameDescriptors,
  restorePod,
  thawPod,
} from '#ztunnel/worker/pod-state.ts';

const POD = { namespace: 'default', name: 'shop', serviceAccount: 'default' };
const UNKNOWN = 'failed to fetch information about local workload: default/shop';
const WAIT_MS = 5_000;
const POLL_MS = 50;
const WAITING_MAX = 1_000;

describe('acceptPlaintext() to a pod that is not known yet', () => {
  const byte = allocateSlab(1);
  const open = new Set<number>();
  let opened: number;
  let loop: Loop;
  let mesh: MeshStore;
  let thread: TestThread;
  let proxy: PodProxy;

  beforeEach(async () => {
    opened = openDescriptors().size;
    // It never turns: a test says what time it is.
    loop = await openThreadLoop();
    mesh = new MeshStore();
    thread = threadContext(loop, mesh);
    proxy = podProxy();
  });

  afterEach(() => {
    proxy.close('the test is over');
    for (const fd of open) closeSocket(fd);
    open.clear();
    loop.stop();
    expect(openDescriptors().size).to.equal(opened);
  });

  /** A pod whose listeners nobody calls. */
  function podProxy(): PodProxy {
    const [netnsFd] = opens();
    const made = new PodProxy(thread, 'uid', POD, netnsFd);
    const listeners = { outbound: opens()[0], plaintext: opens()[0], inbound: opens()[0] };
    for (const fd of Object.values(listeners)) open.delete(fd);
    made.adoptListeners(listeners satisfies ListenerFds);
    return made;
  }

  function opens(): readonly [number, number] {
    const pair = openSocketPair();
    for (const fd of pair) open.add(fd);
    return pair;
  }

  /** A connection that came `agoMs` ago; the client's end. */
  function call(agoMs = 0, port = 8080): number {
    const [client, fd] = opens();
    open.delete(fd);
    const accepted: Accepted = {
      source: address('10.0.0.1:40000'),
      target: address(`10.0.0.2:${port}`),
      startMs: Date.now() - agoMs,
    };
    acceptPlaintext(proxy.context, fd, accepted);
    return client;
  }

  function pass(ms: number): void {
    loop.nowMs += ms;
    loop.timers.advance(loop.nowMs, (_timer, error) => {
      throw error;
    });
  }

  /** The pod becomes known, with a policy against this call. */
  function becomeKnown(): void {
    const shop = workload('shop', '10.0.0.2');
    const nobody = policy('nobody', { destinationPorts: [8080] });
    mesh.apply(delta({ upsertWorkloads: [shop], upsertPolicies: [nobody] }));
  }

  const isOpen = (client: number): boolean => receiveInto(client, byte, 0, 1) === -EAGAIN;
  const errors = (): readonly string[] =>
    thread.written.map(({ event, error }) => `${event}: ${error ?? ''}`);
  const judged = [
    'opened: ',
    'complete: connection closed due to policy rejection: explicitly denied by: default/nobody',
  ];

  it('waits, and judges the connection when the pod is known', () => {
    const client = call();
    pass(3 * POLL_MS);
    expect(isOpen(client)).to.equal(true);
    expect(thread.metrics.socketsOpen.destination).to.equal(1);
    expect(errors()).to.deep.equal([]);
    becomeKnown();
    pass(2 * POLL_MS);
    expect(errors()).to.deep.equal(judged);
    expect(thread.written.at(-1)?.destination.workload).to.equal('shop');
    expect(isOpen(client)).to.equal(false);
    expect(thread.metrics.socketsOpen.destination).to.equal(0);
    expect(proxy.context.live.size + proxy.context.waitingPlaintext.size).to.equal(0);
  });

  it('refuses it 5 s after it came', () => {
    const client = call(WAIT_MS - 1_000);
    pass(2 * POLL_MS);
    expect(isOpen(client)).to.equal(true);
    const late = call(WAIT_MS);
    expect(isOpen(late)).to.equal(false);
    expect(errors()).to.deep.equal([`refused: ${UNKNOWN}`]);
    expect(proxy.context.waitingPlaintext.size).to.equal(1);
  });

  it('refuses what goes to a port of the tunnel itself at once', () => {
    expect(isOpen(call(0, 15_006))).to.equal(false);
    expect(errors()).to.deep.equal(['refused: attempted recursive call to ourselves']);
  });

  it('lets no more than 1,000 wait, and more again when those have gone', () => {
    const clients = Array.from({ length: WAITING_MAX }, () => call());
    expect(isOpen(call())).to.equal(false);
    expect(errors()).to.deep.equal([`refused: ${UNKNOWN} (too many wait for it)`]);
    expect(clients.every(isOpen)).to.equal(true);
    thread.written.length = 0;
    becomeKnown();
    pass(2 * POLL_MS);
    expect(errors()).to.have.length(judged.length * WAITING_MAX);
    mesh.apply(delta({ removeWorkloads: [workload('shop', '').uid] }));
    expect(isOpen(call())).to.equal(true);
  });

  it('ends with the pod', () => {
    const client = call();
    proxy.close('the pod is gone');
    expect(isOpen(client)).to.equal(false);
    expect(errors()).to.deep.equal(['refused: the pod is gone']);
    expect(loop.timers.size).to.equal(0);
  });

  it('stands still in a hand-over that fails, then waits on', () => {
    const client = call();
    const frozen = freezePod(proxy);
    becomeKnown();
    pass(WAIT_MS);
    expect(isOpen(client)).to.equal(true);
    expect(errors()).to.deep.equal([]);
    thawPod(frozen);
    expect(errors()).to.deep.equal(judged);
  });

  it('goes on waiting in the successor', () => {
    const client = call();
    const frozen = freezePod(proxy);
    const state: PodState = structuredClone(exportPod(frozen));
    const sent = new Map(descriptorsOf(state).map((fd) => [fd, passedDescriptor(fd)]));
    const received = renameDescriptors(state, (fd) => sent.get(fd) as number);
    open.add(received.netnsFd);
    releasePod(frozen);
    expect(loop.timers.size).to.equal(0);
    const restored = restorePod(thread, received);
    proxy = restored.proxy;
    expect(isOpen(client)).to.equal(true);
    thawPod(restored);
    pass(2 * POLL_MS);
    expect(errors()).to.deep.equal([]);
    expect(proxy.context.waitingPlaintext.size).to.equal(1);
    becomeKnown();
    pass(2 * POLL_MS);
    expect(errors()).to.deep.equal(judged);
    expect(isOpen(client)).to.equal(false);
  });
});

function address(text: string): SocketAddress {
  return parseSocketAddress(text) as SocketAddress;
}
