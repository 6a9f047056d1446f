import { setTimeout as sleep } from 'node:timers/promises';

import type { Step } from '../../story.ts';
import { finishTransfer, formatBytes, untilFlowing } from '../../transfer.ts';
import { hold, MESH, type Shop } from '../shop.ts';
import { startTransfer } from '../transfer.ts';

const REPLACED_DEADLINE_MS = 30_000;
const TUNNELS = 'daemonset/ztunnel';

export const handOver: Step<Shop> = {
  title: 'Both node tunnels are replaced while a transfer runs: no connection notices',
  async *run(shop) {
    const before = await tunnels(shop);
    const transfer = await startTransfer(shop);
    try {
      await untilFlowing(transfer);
      yield 'stock streams to till';
      yield `kubectl rollout restart -n ${MESH} ${TUNNELS}`;
      await shop.kubectl.must(['rollout', 'restart', '-n', MESH, TUNNELS]);
      await shop.kubectl.must(['rollout', 'status', '-n', MESH, TUNNELS, '--timeout=60s']);
      const after = await replaced(shop, before);
      yield `${before.join(', ')} gave way to ${after.join(', ')}`;
      await untilFlowing(transfer);
      const { sent, received } = await finishTransfer(transfer);
      yield `sender:   ${sent}`;
      yield `receiver: ${received}`;
      hold(
        received === sent.replace('sent', 'complete'),
        'What was received is not what was sent: count and SHA-256 should be equal',
      );
      const bytes = Number(sent.split(' ')[1]);
      yield `one connection carried ${formatBytes(bytes)} through four processes, with the same SHA-256 at both ends`;
    } finally {
      await Promise.all([transfer.sender.stop(), transfer.receiver.stop()]);
    }
  },
};

/** With a surge the rollout is done before the last of the old ones is told to end. */
async function replaced(shop: Shop, before: readonly string[]): Promise<readonly string[]> {
  const untilMs = performance.now() + REPLACED_DEADLINE_MS;
  for (;;) {
    const after = await tunnels(shop);
    const same = after.filter((name) => before.includes(name));
    if (same.length === 0) return after;
    hold(performance.now() < untilMs, `Not replaced: ${same.join(', ')}`);
    await sleep(100);
  }
}

async function tunnels(shop: Shop): Promise<readonly string[]> {
  const pods = await shop.pods(MESH, 'app=ztunnel');
  return pods
    .filter((pod) => pod.metadata.deletionTimestamp === undefined)
    .map((pod) => pod.metadata.name);
}
