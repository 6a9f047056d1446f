import type { Step } from '../../story.ts';
import { hexDump } from '../../tcp-packets.ts';
import { hold, SECRET, SHOP, type Shop } from '../shop.ts';
import { recordOrder } from './record-order.ts';

// Enough to see the words, few enough to read.
const SHOWN_BYTES = 64;

export const inTheClear: Step<Shop> = {
  title: 'Without the mesh, everyone on the wire between the nodes can read',
  essential: true,
  async *run(shop) {
    const till = await shop.pod(SHOP, 'app=till');
    yield `kubectl exec -n ${SHOP} till -- curl http://details.shop:9080/details/0`;
    const { result, packets } = await recordOrder(shop, till);
    hold(result.kind === 'answer', `details did not answer: ${JSON.stringify(result)}`);
    yield result.text;
    const telling = packets.find((packet) => packet.payload.includes(SECRET));
    hold(telling !== undefined, `No packet between the nodes holds "${SECRET}"`);
    yield `a capture between the nodes: ${packets.length} TCP packets; one says`;
    const start = Math.max(0, telling.payload.indexOf(SECRET) - SHOWN_BYTES / 2);
    yield hexDump(telling.payload.subarray(start, start + SHOWN_BYTES));
  },
};
