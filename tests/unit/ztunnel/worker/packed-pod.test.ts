import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { LocalPod } from '#dataplane/state/view.ts';
import { workload } from '#tests/support/mesh.ts';
import type { AccountingState } from '#ztunnel/proxy/accounting.ts';
import { packedBuffers, packPod, unpackPod, withDescriptors } from '#ztunnel/worker/packed-pod.ts';
import type { PodState } from '#ztunnel/worker/pod-state.ts';

const pod: LocalPod = {
  name: 'shop',
  namespace: 'default',
  serviceAccount: 'shop',
  clusterId: 'c',
};
const SECRET = Uint8Array.of(1, 2, 3, 4);
const LABELS = 20;

function connection(fd: number): PodState['outbound'][number] {
  const address = `10.0.0.1:${fd}`;
  const accounting: AccountingState = {
    record: {
      direction: 'outbound',
      source: { address },
      destination: { address },
      startMs: fd,
      bytesSent: 0,
      bytesReceived: 0,
    },
    labels: Array.from({ length: LABELS }, (_, index) => `a label with the number ${index}`),
    isClaimed: false,
    countedReceived: 0,
    countedSent: 0,
  };
  const end = { pending: SECRET, readEnded: false, finSent: false, received: 0 };
  const relay = { connecting: false, downstream: end, upstream: end };
  const ip = '10.0.0.1' as PodState['outbound'][number]['state']['accepted']['source']['ip'];
  return {
    fd,
    state: {
      accepted: { source: { ip, port: 1 }, target: { ip, port: 2 }, startMs: fd },
      accounting,
      transport: { kind: 'socket', upstreamFd: fd + 1, relay },
    },
  };
}

/** An inbound connection whose tunnel has ended. */
function leftover(fd: number): PodState['inbound'][number] {
  const { accepted, accounting } = connection(fd).state;
  const { source, target } = accepted;
  return {
    fd,
    state: {
      facts: {
        sourceIp: source.ip,
        destinationIp: target.ip,
        destinationPort: target.port,
        identity: undefined,
      },
      workload: workload('shop', '10.0.0.1'),
      accounting: accounting as AccountingState,
      relay: { pending: SECRET, toTunnel: 1, fromTunnel: 4 },
    },
  };
}

function state(connections: number): PodState {
  return {
    uid: 'uid',
    pod,
    netnsFd: 90,
    listeners: { outbound: 91, plaintext: 92, inbound: 93 },
    tunnels: [],
    outbound: Array.from({ length: connections }, (_, index) => connection(100 + 2 * index)),
    inbound: [leftover(99)],
    plaintext: [],
  };
}

describe('packPod()', () => {
  it('names the namespace first, every descriptor once, and counts the connections', () => {
    const packed = packPod(state(2));
    expect(packed).to.include({ uid: 'uid', connections: 3 });
    expect(packed.descriptors).to.deep.equal([90, 91, 92, 93, 100, 101, 102, 103, 99]);
  });

  it('writes labels that connections share once', () => {
    const [one, many] = [packPod(state(1)), packPod(state(11))];
    const each = (many.bytes.length - one.bytes.length) / 10;
    const labels = JSON.stringify(state(1).outbound[0]?.state.accounting?.labels).length;
    expect(each).to.be.lessThan(labels);
  });

  it('gives away a buffer that holds nothing else', () => {
    const packed = packPod(state(1));
    expect(packedBuffers([packed])).to.deep.equal([packed.bytes.buffer]);
    expect(packed.bytes.buffer.byteLength).to.equal(packed.bytes.length);
  });
});

describe('unpackPod()', () => {
  it('gives what was packed', () => {
    expect(unpackPod(packPod(state(3)))).to.deep.equal(state(3));
  });

  it('names the descriptors that this process has got', () => {
    const packed = packPod(state(1));
    const got = packed.descriptors.map((fd) => fd + 1_000);
    const received = withDescriptors(packed, (count) => got.slice(0, count));
    const unpacked = unpackPod(received);
    expect(unpacked.netnsFd).to.equal(1_090);
    expect(unpacked.listeners).to.deep.equal({ outbound: 1_091, plaintext: 1_092, inbound: 1_093 });
    expect(unpacked.outbound[0]?.fd).to.equal(1_100);
    expect(unpacked.outbound[0]?.state.transport).to.include({ upstreamFd: 1_101 });
    expect(unpacked.inbound[0]?.fd).to.equal(1_099);
  });

  it('refuses a state with a descriptor that did not come', () => {
    const received = withDescriptors(packPod(state(1)), () => [1, 2, 3]);
    expect(() => unpackPod(received)).to.throw('a descriptor that did not come');
  });
});
