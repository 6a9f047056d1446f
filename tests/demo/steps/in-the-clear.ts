import { readFileSync } from 'node:fs';
import { hold, type Stage } from '../stage.ts';
import type { Step } from '../story.ts';
import { hexDump, readTcpPackets } from '../tcp-packets.ts';

/** Words of the shop's answer that the wire must show here, and never again afterwards. */
export const SECRET = 'card 4111-1111';

// Enough to see the words, few enough to read.
const SHOWN_BYTES = 48;

export const inTheClear: Step<Stage> = {
  title: 'Without tunnels, everyone on the wire can read',
  essential: true,
  async *run(stage) {
    const { result, recording } = await stage.recordWire(async () => stage.order(stage.till));
    hold(result.kind === 'answer', `The shop did not answer: ${JSON.stringify(result)}`);
    yield `till (${stage.till.ipv4}) orders at shop (${stage.shop.ipv4}) and hears: ${result.text}`;
    const packets = readTcpPackets(readFileSync(recording.path));
    const telling = packets.find((packet) => packet.payload.includes(SECRET));
    hold(telling !== undefined, `No packet between the nodes holds "${SECRET}"`);
    yield `a capture between the nodes: ${packets.length} TCP packets; one says`;
    const start = Math.max(0, telling.payload.indexOf(SECRET) - SHOWN_BYTES / 2);
    yield hexDump(telling.payload.subarray(start, start + SHOWN_BYTES));
  },
};
