import type { Step } from '../../story.ts';
import { endOf, formatBytes, TRANSFER_PORT, untilFlowing } from '../../transfer.ts';
import { hold, SHOP, type Shop } from '../shop.ts';
import { STOCK, startTransfer } from '../transfer.ts';

/** From the server's death until its client knows: what is buffered on the way still arrives first. */
const NOTICE_DEADLINE_MS = 15_000;

/** The brackets keep it from finding itself. */
const KILL =
  'for p in /proc/[0-9]*; do grep -q "sender[.]ts" $p/cmdline && kill -9 ${p#/proc/}; done; true';

export const serverKilled: Step<Shop> = {
  title: 'A server is killed in the middle of a transfer: both sides learn it',
  async *run(shop) {
    const { sender, receiver, stock } = await startTransfer(shop);
    try {
      await untilFlowing({ sender, receiver });
      await shop.kubectl.must(['exec', '-n', SHOP, STOCK, '--', 'sh', '-c', KILL]);
      yield 'stock streams to till; its process gets SIGKILL';
      const end = await endOf({ sender, receiver }, NOTICE_DEADLINE_MS);
      hold(end !== undefined, 'till still waits for the rest');
      hold(!end.startsWith('complete'), `till took the torn transfer for a whole one: ${end}`);
      const received = Number(end.split(' ')[1]);
      yield `till knows: the transfer is ${end.split(' ')[0]} after ${formatBytes(received)}`;
      const till = await shop.pod(SHOP, 'app=till');
      const target = `${stock.status.podIP}:${TRANSFER_PORT}`;
      for (const [node, direction, field] of [
        [stock.spec.nodeName ?? '', 'inbound', 'bytes_sent'],
        [till.spec.nodeName ?? '', 'outbound', 'bytes_recv'],
      ] as const) {
        const wanted = { direction, 'dst.hbone_addr': target, 'src.workload': 'till' };
        const line = await shop.accessLog(node, wanted);
        hold(line !== undefined, `${node} has no ${direction} line for ${target}`);
        const error = line.fields.get('error');
        const why = error === undefined ? '' : `, error="${error}"`;
        yield `${node} logged ${direction} ${field}=${line.fields.get(field)}${why}`;
      }
    } finally {
      await Promise.all([sender.stop(), receiver.stop()]);
    }
  },
};
