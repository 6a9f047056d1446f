import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { Tunnel } from '#hbone/tunnel.ts';
import { ip } from '#tests/support/mesh.ts';
import {
  type AdmissionLimits,
  admissionLimits,
  PodAdmission,
  type ThreadAdmission,
  threadAdmission,
} from '#ztunnel/proxy/admission.ts';

const SHOP = { namespace: 'default', name: 'shop', serviceAccount: 'default' };
const CLIENT = ip('10.0.1.10');
const OTHER = ip('10.0.1.11');
/** Ports that Linux gives out to one address for one destination, by default. */
const EPHEMERAL_PORTS = 28_232;
const STREAMS_PER_TUNNEL = 100;
/** What a node's container runtime gives by default. */
const MANY = 1_048_576;

const tunnelFrom = (address: string): Tunnel =>
  ({ remote: { ip: ip(address), port: 1 } }) as Tunnel;

function threadWith(limits: Partial<AdmissionLimits>): ThreadAdmission {
  return threadAdmission({ ...admissionLimits(MANY, 4, MANY), ...limits });
}

/** Opens so many tunnels; false when not all are let in. */
function openTunnels(pod: PodAdmission, count: number, address: string): boolean {
  for (let each = 0; each < count; each++) {
    if (!pod.admitsTunnel(ip(address), 0)) return false;
    pod.tunnels.add(tunnelFrom(address));
  }
  return true;
}

describe('admissionLimits()', () => {
  it('leaves two thirds of few descriptors to one pod, and half to one address over all workers', () => {
    for (const workers of [1, 2, 16]) {
      const limits = admissionLimits(20_000, workers, MANY);
      expect(limits.connectionsPerPod * 3).to.be.at.most(20_000);
      expect(limits.connectionsPerPeer * 2 * workers * 2).to.be.at.most(20_000);
      expect(limits.tunnelsPerPeer * workers * 8).to.be.at.most(20_000);
      expect(limits.tunnelsPerPodAndPeer).to.be.at.most(limits.tunnelsPerPeer);
      expect(limits.tunnelsPerPod * 4).to.be.at.most(20_000);
    }
  });

  it('grows no further with descriptors without number', () => {
    expect(admissionLimits(Infinity, 1, Infinity)).to.deep.equal(admissionLimits(MANY, 1, 1e12));
  });

  it('lets a quarter of little memory wait for applications over all workers, half of it for one pod', () => {
    const memoryBytes = 1 << 30;
    const limits = admissionLimits(MANY, 4, memoryBytes);
    expect(limits.waitingBytes).to.equal(memoryBytes / 4 / 4);
    expect(limits.waitingBytesPerPod).to.equal(limits.waitingBytes / 2);
  });

  it('never takes nothing', () => {
    expect(Object.values(admissionLimits(10, 16, 10)).every((limit) => limit >= 1)).to.equal(true);
  });
});

describe('PodAdmission', () => {
  let lines: string[];

  beforeEach(() => {
    lines = [];
  });

  function podOf(thread: ThreadAdmission): PodAdmission {
    return new PodAdmission(thread, SHOP, (line) => lines.push(line));
  }

  it('admitsTunnel() refuses an address that has its tunnels to the pod, and no other', () => {
    const pod = podOf(threadWith({ tunnelsPerPodAndPeer: 2 }));
    const first = tunnelFrom(CLIENT);
    for (const tunnel of [first, first, tunnelFrom(CLIENT)]) pod.tunnels.add(tunnel);
    expect(pod.admitsTunnel(CLIENT, 0)).to.equal(false);
    expect(pod.admitsTunnel(OTHER, 0)).to.equal(true);
    expect(lines).to.deep.equal([
      'refused a tunnel from 10.0.1.10 to pod default/shop: the address has 2 tunnels to this pod, as many as it may',
    ]);
    pod.tunnels.delete(first);
    pod.tunnels.delete(first);
    expect(pod.admitsTunnel(CLIENT, 0)).to.equal(true);
  });

  it('admitsTunnel() refuses an address that has its tunnels to the pods of the worker', () => {
    const thread = threadWith({ tunnelsPerPeer: 2 });
    const pods = [podOf(thread), podOf(thread), podOf(thread)] as const;
    const tunnels = [tunnelFrom(CLIENT), tunnelFrom(CLIENT)] as const;
    pods[0].tunnels.add(tunnels[0]);
    pods[1].tunnels.add(tunnels[1]);
    expect(pods[2].admitsTunnel(CLIENT, 0)).to.equal(false);
    expect(pods[2].admitsTunnel(OTHER, 0)).to.equal(true);
    pods[0].tunnels.delete(tunnels[0]);
    expect(pods[2].admitsTunnel(CLIENT, 0)).to.equal(true);
  });

  it('admitsTunnel() refuses everybody at a pod that has its tunnels', () => {
    const pod = podOf(threadWith({ tunnelsPerPod: 1 }));
    pod.tunnels.add(tunnelFrom(CLIENT));
    expect(pod.admitsTunnel(OTHER, 0)).to.equal(false);
    expect(lines[0]).to.include('the pod has 1 tunnels, as many as one pod may');
  });

  it('admitsConnection() refuses beyond the limits of the pod and of an address', () => {
    const thread = threadWith({ connectionsPerPod: 3, connectionsPerPeer: 1 });
    const pod = podOf(thread);
    expect(pod.admitsConnection(2, undefined, 0)).to.equal(true);
    expect(pod.admitsConnection(3, undefined, 0)).to.equal(false);
    thread.connections.add(CLIENT);
    expect(pod.admitsConnection(1, CLIENT, 0)).to.equal(false);
    expect(pod.admitsConnection(1, OTHER, 0)).to.equal(true);
    expect(lines).to.deep.equal([
      'refused a connection of pod default/shop: the pod has 3 connections, as many as one pod may',
      'refused a connection from 10.0.1.10 to pod default/shop: the address has 1 connections to pods of this worker, as many as it may',
    ]);
  });

  it('admitsConnection() refuses a pod whose applications let too much wait, and no other', () => {
    const thread = threadWith({ waitingBytesPerPod: 100, waitingBytes: 150 });
    const [pod, other] = [podOf(thread), podOf(thread)];
    pod.waiting.change(0, 101);
    expect(pod.admitsConnection(0, CLIENT, 0)).to.equal(false);
    expect(other.admitsConnection(0, CLIENT, 0)).to.equal(true);
    expect(lines).to.deep.equal([
      'refused a connection from 10.0.1.10 to pod default/shop: 101 bytes wait for applications of the pod that read too slowly, as many as may',
    ]);
    // Together they have more than the worker may: who has more than its half of that is full.
    pod.waiting.change(101, 90);
    other.waiting.change(0, 70);
    expect(pod.admitsConnection(0, CLIENT, 0)).to.equal(false);
    expect(other.admitsConnection(0, CLIENT, 0)).to.equal(true);
  });

  it('admitsWaiting() lets 1,000 of each kind wait, and says whom it refuses', () => {
    const pod = podOf(threadWith({}));
    expect(pod.admitsWaiting('connection', 999, CLIENT, 0)).to.equal(true);
    expect(pod.admitsWaiting('connection', 1_000, CLIENT, 0)).to.equal(false);
    expect(pod.admitsWaiting('connection', 1_000, undefined, 0)).to.equal(false);
    expect(pod.admitsWaiting('tunnel', 1_000, CLIENT, 0)).to.equal(false);
    const why = '1000 others wait until the pod is known, as many as may';
    expect(lines).to.deep.equal([
      `refused a connection from 10.0.1.10 to pod default/shop: ${why}`,
      `refused a connection of pod default/shop: ${why}`,
      `refused a tunnel from 10.0.1.10 to pod default/shop: ${why}`,
    ]);
  });

  it('says it once in ten seconds, however many it refuses', () => {
    const pod = podOf(threadWith({ connectionsPerPod: 0 }));
    for (let atMs = 0; atMs < 10_000; atMs++) pod.admitsConnection(0, CLIENT, atMs);
    expect(lines).to.have.length(1);
  });

  describe('with the limits of a node', () => {
    it('takes as many connections of one client as it has ports, and the tunnels for them', () => {
      const thread = threadWith({});
      const pod = podOf(thread);
      expect(openTunnels(pod, Math.ceil(EPHEMERAL_PORTS / STREAMS_PER_TUNNEL), CLIENT)).to.equal(
        true,
      );
      for (let open = 0; open < EPHEMERAL_PORTS; open++) {
        if (!pod.admitsConnection(open, CLIENT, 0)) expect.fail(`refused after ${open}`);
        thread.connections.add(CLIENT);
      }
    });

    it('takes the tunnels of a gateway with 32 threads to all of 128 pods', () => {
      const thread = threadWith({});
      for (let count = 0; count < 128; count++) {
        expect(openTunnels(podOf(thread), 32, CLIENT)).to.equal(true);
      }
    });

    it('takes a tunnel of each of 10,000 clients of one pod', () => {
      const pod = podOf(threadWith({}));
      for (let count = 0; count < 10_000; count++) {
        const address = `10.${1 + (count >> 8)}.${count & 255}.1`;
        if (!openTunnels(pod, 1, address)) expect.fail(`refused ${address}`);
      }
    });
  });
});
