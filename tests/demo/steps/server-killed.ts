import { hold, type Stage } from '../stage.ts';
import type { Step } from '../story.ts';
import { endOf, formatBytes, startTransfer, TRANSFER_PORT, untilFlowing } from '../transfer.ts';

/** From the server's death until its client knows: what is buffered on the way still arrives first. */
const NOTICE_DEADLINE_MS = 5000;

export const serverKilled: Step<Stage> = {
  title: 'A server is killed in the middle of a transfer: both sides learn it at once',
  async *run(stage) {
    const transfer = await startTransfer(stage, stage.till);
    await untilFlowing(transfer);
    const killedAtMs = performance.now();
    transfer.sender.signal('SIGKILL');
    yield 'stock streams to till; its process gets SIGKILL';
    const end = await endOf(transfer, NOTICE_DEADLINE_MS);
    const afterMs = Math.round(performance.now() - killedAtMs);
    hold(end !== undefined, `${afterMs} ms later till still waits for the rest`);
    hold(!end.startsWith('complete'), `till took the torn transfer for a whole one: ${end}`);
    const received = Number(end.split(' ')[1]);
    yield `${afterMs} ms later till knows: the transfer is ${end.split(' ')[0]} after ${formatBytes(received)}`;
    yield* compareLogs(stage, received);
  },
};

async function* compareLogs(stage: Stage, received: number): AsyncIterable<string> {
  const target = `${stage.stock.ipv4}:${TRANSFER_PORT}`;
  for (const [node, direction, field] of [
    [stage.west, 'inbound', 'bytes_sent'],
    [stage.east, 'outbound', 'bytes_recv'],
  ] as const) {
    const wanted = {
      direction,
      'dst.hbone_addr': target,
      'src.workload': stage.till.name,
    };
    const line = await stage.accessLog(node, wanted);
    hold(line !== undefined, `${node.name} has no ${direction} line for ${target}`);
    const bytes = Number(line.fields.get(field));
    hold(
      bytes >= received,
      `${node.name} logged ${field}=${bytes}, less than the ${received} bytes that till has`,
    );
    const error = line.fields.get('error');
    yield `${node.name} logged ${direction} ${field}=${bytes}${error === undefined ? '' : `, error="${error}"`}`;
  }
}
