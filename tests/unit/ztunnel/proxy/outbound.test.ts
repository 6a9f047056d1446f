import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { delta, workload } from '#tests/support/mesh.ts';
import { QuietPod } from '#tests/support/quiet-pod.ts';
import { OutboundConnection } from '#ztunnel/proxy/outbound.ts';
import { freezePod, thawPod } from '#ztunnel/worker/pod-state.ts';

const UNKNOWN = 'failed to fetch information about local workload: default/shop';
const WAIT_MS = 5_000;
const POLL_MS = 50;
const WAITING_MAX = 1_000;

describe('OutboundConnection of a pod that is not known yet', () => {
  let pod: QuietPod;

  beforeEach(async () => {
    pod = await QuietPod.start();
  });

  afterEach(() => pod[Symbol.dispose]());

  /** The pod calls somebody outside of the mesh, `agoMs` ago; the application's end. */
  function call(agoMs = 0): number {
    const { client, fd } = pod.give();
    const accepted = {
      source: parseSocketAddress('10.0.0.2:40000') as SocketAddress,
      target: parseSocketAddress('192.0.2.1:80') as SocketAddress,
      startMs: Date.now() - agoMs,
    };
    new OutboundConnection(pod.proxy.context, fd, accepted).begin();
    return client;
  }

  function becomeKnown(): void {
    pod.mesh.apply(delta({ upsertWorkloads: [workload('shop', '10.0.0.2')] }));
  }

  const waiting = (): number => pod.proxy.context.waitingOutbound.size;
  /** It goes its way, which ends at once: there is no namespace to connect from. */
  function expectWent(count: number): void {
    expect(pod.lines).to.have.length(2 * count);
    expect(pod.lines.slice(0, 1)).to.deep.equal(['opened: ']);
    expect(pod.lines.at(-1)).to.match(/^complete: connection failed: /);
  }

  it('waits, and goes its way when the pod is known', () => {
    const client = call();
    pod.pass(3 * POLL_MS);
    expect(pod.isOpen(client)).to.equal(true);
    expect(waiting()).to.equal(1);
    becomeKnown();
    pod.pass(2 * POLL_MS);
    expectWent(1);
    expect(waiting()).to.equal(0);
    expect(pod.thread.metrics.socketsOpen.source).to.equal(0);
  });

  it('is refused 5 s after it came', () => {
    expect(pod.isOpen(call(WAIT_MS))).to.equal(false);
    expect(pod.lines).to.deep.equal([`refused: ${UNKNOWN}`]);
    expect(waiting()).to.equal(0);
  });

  it('is refused when 1,000 others wait, which is said once, and waits again when those have gone', () => {
    const clients = Array.from({ length: WAITING_MAX }, () => call());
    expect([call(), call()].some((client) => pod.isOpen(client))).to.equal(false);
    expect(pod.reports).to.deep.equal([
      'refused a connection of pod default/shop: 1000 others wait until the pod is known, as many as may',
    ]);
    expect(clients.every((client) => pod.isOpen(client))).to.equal(true);
    expect(pod.lines).to.deep.equal([]);
    expect(pod.proxy.context.live.size).to.equal(WAITING_MAX);
    expect(pod.thread.metrics.socketsOpen.source).to.equal(WAITING_MAX);
    becomeKnown();
    pod.pass(2 * POLL_MS);
    expectWent(WAITING_MAX);
    pod.mesh.apply(delta({ removeWorkloads: [workload('shop', '').uid] }));
    expect(pod.isOpen(call())).to.equal(true);
  });

  it('ends with the pod', () => {
    const client = call();
    pod.proxy.close('the pod is gone');
    expect(pod.isOpen(client)).to.equal(false);
    expect(waiting()).to.equal(0);
    expect(pod.loop.timers.size).to.equal(0);
  });

  it('stands still in a hand-over that fails, then goes its way', () => {
    const client = call();
    const frozen = freezePod(pod.proxy);
    becomeKnown();
    pod.pass(WAIT_MS);
    expect(pod.isOpen(client)).to.equal(true);
    thawPod(frozen);
    expectWent(1);
    expect(waiting()).to.equal(0);
  });

  it('goes on waiting in the successor, where it counts', () => {
    const former = pod.proxy.context;
    const client = call();
    pod.moveToSuccessor();
    expect(former.waitingOutbound.size).to.equal(0);
    pod.pass(2 * POLL_MS);
    expect(pod.isOpen(client)).to.equal(true);
    expect(waiting()).to.equal(1);
    becomeKnown();
    pod.pass(2 * POLL_MS);
    expectWent(1);
  });
});
