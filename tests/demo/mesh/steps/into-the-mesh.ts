import { setTimeout as sleep } from 'node:timers/promises';

import type { Step } from '../../story.ts';
import { joinStreams, type TcpPacket, tlsRecordsOf } from '../../tcp-packets.ts';
import { hold, type PodView, SECRET, SHOP, type Shop } from '../shop.ts';
import { recordOrder } from './record-order.ts';

const TUNNEL_PORT = 15_008;
const REDIRECTION = 'ambient.istio.io/redirection';
const ENROL_DEADLINE_MS = 30_000;

export const intoTheMesh: Step<Shop> = {
  title: 'One label, and the same traffic is unreadable',
  essential: true,
  async *run(shop) {
    const before = await shop.pods(SHOP);
    const label = ['label', 'namespace', SHOP, 'istio.io/dataplane-mode=ambient'];
    const labelledMs = performance.now();
    yield `kubectl ${label.join(' ')}`;
    yield (await shop.kubectl.must(label)).trim();
    const after = await enrolled(shop);
    yield `${Math.round(performance.now() - labelledMs)} ms later all ${after.length} pods are in the mesh`;
    hold(ages(before) === ages(after), 'Pods were started again: they should have gone on');
    yield 'none of them was started again';
    const till = await shop.pod(SHOP, 'app=till');
    const { result, packets } = await recordOrder(shop, till);
    hold(result.kind === 'answer', `details did not answer: ${JSON.stringify(result)}`);
    yield `till asks again, and hears: ${result.text}`;
    yield* examine(packets);
  },
};

/** The pods of the shop, as soon as each has the mark of the mesh. */
async function enrolled(shop: Shop): Promise<readonly PodView[]> {
  const untilMs = performance.now() + ENROL_DEADLINE_MS;
  for (;;) {
    const pods = await shop.pods(SHOP);
    const missing = pods.filter((pod) => pod.metadata.annotations?.[REDIRECTION] !== 'enabled');
    if (missing.length === 0) return pods;
    const names = missing.map((pod) => pod.metadata.name).join(', ');
    hold(performance.now() < untilMs, `Not in the mesh: ${names}`);
    await sleep(100);
  }
}

function ages(pods: readonly PodView[]): string {
  return pods
    .map((pod) => {
      const restarts = pod.status.containerStatuses?.map((status) => status.restartCount);
      return `${pod.metadata.uid} ${String(restarts)}`;
    })
    .toSorted()
    .join('\n');
}

function* examine(packets: readonly TcpPacket[]): Iterable<string> {
  const recording = Buffer.concat(packets.map((packet) => packet.payload));
  for (const words of [SECRET, 'Shakespeare', '/details', 'HTTP/1']) {
    hold(!recording.includes(words), `The words "${words}" passed between the nodes in the clear`);
  }
  const ports = new Set(packets.map((packet) => Math.min(packet.fromPort, packet.toPort)));
  hold(
    ports.size === 1 && ports.has(TUNNEL_PORT),
    `TCP between the two pods should only go to port ${TUNNEL_PORT}, and went to ${[...ports].join(', ')}`,
  );
  yield `a capture between the nodes: ${packets.length} TCP packets, all of port ${TUNNEL_PORT}; no word of it`;
  yield `every byte is part of a TLS record: ${tlsRecordsOf(joinStreams(packets))}`;
}
