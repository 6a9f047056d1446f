import { NODE_PROGRAM, PROJECT } from '#playground/node/node-root.ts';

import { TRANSFER_PORT, type Transfer } from '../transfer.ts';
import { hold, type PodView, SHOP, type Shop } from './shop.ts';

/** Where the stream comes from: a pod on the node of `details`. */
export const STOCK = 'stock';

const EXEC_DEADLINE_MS = 20_000;

/** A stream from stock to till, between the nodes, that lasts until its sender is told to finish. */
export async function startTransfer(shop: Shop): Promise<Transfer & { readonly stock: PodView }> {
  const stock = await shop.pod(SHOP, `app=${STOCK}`);
  hold(stock.status.podIP !== undefined, 'stock has no address');
  const port = String(TRANSFER_PORT);
  const sender = shop.kubectl.start(inPod(STOCK, 'sender.ts', port));
  await sender.waitFor(/^ready$/, EXEC_DEADLINE_MS);
  const receiver = shop.kubectl.start(inPod('till', 'receiver.ts', stock.status.podIP, port));
  await sender.waitFor(/^sending to /, EXEC_DEADLINE_MS);
  return { sender, receiver, stock };
}

function inPod(pod: string, path: string, ...args: string[]): readonly string[] {
  // Where every container of the playground finds this project: its own /tmp may hide the folder of the checkout.
  const command = [NODE_PROGRAM, `${PROJECT}/tests/demo/programs/${path}`, ...args];
  return ['exec', '-i', '-n', SHOP, pod, '--', ...command];
}
