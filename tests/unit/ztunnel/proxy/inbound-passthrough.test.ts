import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { delta, policy, workload } from '#tests/support/mesh.ts';
import { QuietPod } from '#tests/support/quiet-pod.ts';
import { acceptPlaintext } from '#ztunnel/proxy/inbound-passthrough.ts';
import type { Accepted } from '#ztunnel/proxy/outbound.ts';
import { freezePod, thawPod } from '#ztunnel/worker/pod-state.ts';

const UNKNOWN = 'failed to fetch information about local workload: default/shop';
const WAIT_MS = 5_000;
const POLL_MS = 50;
const WAITING_MAX = 1_000;

describe('acceptPlaintext() to a pod that is not known yet', () => {
  let pod: QuietPod;

  beforeEach(async () => {
    pod = await QuietPod.start();
  });

  afterEach(() => pod[Symbol.dispose]());

  /** A connection that came `agoMs` ago; the client's end. */
  function call(agoMs = 0, port = 8080): number {
    const { client, fd } = pod.give();
    const accepted: Accepted = {
      source: address('10.0.0.1:40000'),
      target: address(`10.0.0.2:${port}`),
      startMs: Date.now() - agoMs,
    };
    acceptPlaintext(pod.proxy.context, fd, accepted);
    return client;
  }

  /** The pod becomes known, with a policy against this call. */
  function becomeKnown(): void {
    const shop = workload('shop', '10.0.0.2');
    const nobody = policy('nobody', { destinationPorts: [8080] });
    pod.mesh.apply(delta({ upsertWorkloads: [shop], upsertPolicies: [nobody] }));
  }

  const waiting = (): number => pod.proxy.context.waitingPlaintext.size;
  const judged = [
    'opened: ',
    'complete: connection closed due to policy rejection: explicitly denied by: default/nobody',
  ];

  it('waits, and judges the connection when the pod is known', () => {
    const client = call();
    pod.pass(3 * POLL_MS);
    expect(pod.isOpen(client)).to.equal(true);
    expect(pod.thread.metrics.socketsOpen.destination).to.equal(1);
    expect(pod.lines).to.deep.equal([]);
    becomeKnown();
    pod.pass(2 * POLL_MS);
    expect(pod.lines).to.deep.equal(judged);
    expect(pod.thread.written.at(-1)?.destination.workload).to.equal('shop');
    expect(pod.isOpen(client)).to.equal(false);
    expect(pod.thread.metrics.socketsOpen.destination).to.equal(0);
    expect(pod.proxy.context.live.size + waiting()).to.equal(0);
  });

  it('refuses it 5 s after it came', () => {
    const client = call(WAIT_MS - 1_000);
    pod.pass(2 * POLL_MS);
    expect(pod.isOpen(client)).to.equal(true);
    const late = call(WAIT_MS);
    expect(pod.isOpen(late)).to.equal(false);
    expect(pod.lines).to.deep.equal([`refused: ${UNKNOWN}`]);
    expect(waiting()).to.equal(1);
  });

  it('refuses what goes to a port of the tunnel itself at once', () => {
    expect(pod.isOpen(call(0, 15_006))).to.equal(false);
    expect(pod.lines).to.deep.equal(['refused: attempted recursive call to ourselves']);
  });

  it('lets no more than 1,000 wait, and more again when those have gone', () => {
    const clients = Array.from({ length: WAITING_MAX }, () => call());
    expect([call(), call()].some((client) => pod.isOpen(client))).to.equal(false);
    expect(pod.reports).to.deep.equal([
      'refused a connection from 10.0.0.1 to pod default/shop: 1000 others wait until the pod is known, as many as may',
    ]);
    expect(clients.every((client) => pod.isOpen(client))).to.equal(true);
    expect(pod.lines).to.deep.equal([]);
    becomeKnown();
    pod.pass(2 * POLL_MS);
    expect(pod.lines).to.have.length(judged.length * WAITING_MAX);
    pod.mesh.apply(delta({ removeWorkloads: [workload('shop', '').uid] }));
    expect(pod.isOpen(call())).to.equal(true);
  });

  it('ends with the pod', () => {
    const client = call();
    pod.proxy.close('the pod is gone');
    expect(pod.isOpen(client)).to.equal(false);
    expect(pod.lines).to.deep.equal(['refused: the pod is gone']);
    expect(pod.loop.timers.size).to.equal(0);
  });

  it('stands still in a hand-over that fails, then waits on', () => {
    const client = call();
    const frozen = freezePod(pod.proxy);
    becomeKnown();
    pod.pass(WAIT_MS);
    expect(pod.isOpen(client)).to.equal(true);
    expect(pod.lines).to.deep.equal([]);
    thawPod(frozen);
    expect(pod.lines).to.deep.equal(judged);
  });

  it('goes on waiting in the successor', () => {
    const client = call();
    pod.moveToSuccessor();
    pod.pass(2 * POLL_MS);
    expect(pod.isOpen(client)).to.equal(true);
    expect(pod.lines).to.deep.equal([]);
    expect(waiting()).to.equal(1);
    becomeKnown();
    pod.pass(2 * POLL_MS);
    expect(pod.lines).to.deep.equal(judged);
    expect(pod.isOpen(client)).to.equal(false);
  });
});

function address(text: string): SocketAddress {
  return parseSocketAddress(text) as SocketAddress;
}
