import { ipToBytes, parseIp } from '#common/net/address.ts';
import { NODE_PROGRAM, PROJECT } from '#playground/node/node-root.ts';

import { readTcpPackets, type TcpPacket } from '../tcp-packets.ts';
import { hold, type Shop } from './shop.ts';

/** A pod on each node that sees the node's wire: where the recorder runs. */
export function wireTap(node: string, namespace: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `wire-${node}`, namespace, labels: { app: 'wire' } },
    spec: {
      nodeName: node,
      hostNetwork: true,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'tap', image: 'ambit/curl', securityContext: { privileged: true } }],
    },
  };
}

export interface Recorded<T> {
  readonly result: T;
  readonly packets: readonly TcpPacket[];
}

const START_DEADLINE_MS = 20_000;
const FILE = '/tmp/wire.pcap';
// Not tcpdump: it wants to become another user, which a user namespace may not allow.
const RECORD = [NODE_PROGRAM, `${PROJECT}/tests/bed/programs/capture.ts`, 'eth0', FILE];

/** Records what passes a node's wire between two addresses while `action` runs. */
export async function recordWire<T>(
  shop: Shop,
  tap: { readonly namespace: string; readonly node: string },
  between: readonly [string, string],
  action: () => Promise<T>,
): Promise<Recorded<T>> {
  const inTap = ['exec', '-i', '-n', tap.namespace, `wire-${tap.node}`, '--'];
  const recorder = shop.kubectl.start([...inTap, ...RECORD]);
  try {
    await recorder.waitFor(/^capturing$/, START_DEADLINE_MS);
    const result = await action();
    recorder.tell('stop');
    const captured = await recorder.waitFor(/^captured /, START_DEADLINE_MS);
    hold(captured.endsWith(' 0 lost'), `The recording has gaps and proves nothing: ${captured}`);
    const text = await shop.kubectl.must([...inTap, 'base64', FILE]);
    const ends = between.map(hexAddress);
    const packets = readTcpPackets(Buffer.from(text, 'base64')).filter(({ from, to }) =>
      ends.every((end) => from.startsWith(`${end}:`) || to.startsWith(`${end}:`)),
    );
    return { result, packets };
  } finally {
    await recorder.stop();
  }
}

/** As packets are read: hexadecimal digits. */
function hexAddress(text: string): string {
  const ip = parseIp(text);
  hold(ip !== undefined, `"${text}" is no address`);
  return Buffer.from(ipToBytes(ip)).toString('hex');
}
