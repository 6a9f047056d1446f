import { readFileSync } from 'node:fs';

import type { Recording } from '#tests/bed/capture.ts';

import { hold, type Stage } from '../stage.ts';
import type { Step } from '../story.ts';
import { joinStreams, readTcpPackets, tlsRecordsOf } from '../tcp-packets.ts';
import { SECRET } from './in-the-clear.ts';

const TUNNEL_PORT = 15_008;

export const throughTheTunnels: Step<Stage> = {
  title: 'The same order through the tunnels: nothing but TLS on the wire',
  essential: true,
  async *run(stage) {
    // No pod has been restarted: the shop is the same process.
    await stage.startTunnels();
    yield 'one node tunnel per node serves; the pods know nothing of it';
    const { result, recording } = await stage.recordWire(async () => stage.order(stage.till));
    hold(result.kind === 'answer', `The shop did not answer: ${JSON.stringify(result)}`);
    yield `till orders at shop and hears: ${result.text}`;
    const order = stage.lastOrder();
    hold(
      order === `order from ${stage.till.ipv4}`,
      `The shop wants to see ${stage.till.ipv4}, and says "${order}"`,
    );
    yield `the shop still sees its customer's own address: ${order}`;
    yield* examine(recording);
  },
};

function* examine(recording: Recording): Iterable<string> {
  hold(
    recording.lost === 0,
    `${recording.lost} packets were not recorded: the search proves nothing`,
  );
  for (const words of [SECRET, 'apples', '/order', 'HTTP/1']) {
    hold(!recording.contains(words), `The words "${words}" passed between the nodes in the clear`);
  }
  const packets = readTcpPackets(readFileSync(recording.path));
  const ports = new Set(packets.map((packet) => Math.min(packet.fromPort, packet.toPort)));
  hold(
    ports.size === 1 && ports.has(TUNNEL_PORT),
    `TCP between the nodes should only go to port ${TUNNEL_PORT}, and went to ${[...ports].join(', ')}`,
  );
  yield `a capture between the nodes: ${packets.length} TCP packets, all of port ${TUNNEL_PORT}; no word of the order`;
  yield `every byte is part of a TLS record: ${tlsRecordsOf(joinStreams(packets))}`;
}
