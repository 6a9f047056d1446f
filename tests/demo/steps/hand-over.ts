import { program, type Running } from '#tests/bed/process.ts';
import type { Tally } from '#tests/bed/programs/request-loop.ts';
import type { Node } from '#tests/bed/world.ts';

import { hold, SHOP_PORT, type Stage } from '../stage.ts';
import type { Step } from '../story.ts';
import { finishTransfer, formatBytes, startTransfer, untilFlowing } from '../transfer.ts';

/** Keep-alive connections of till to the shop, each with one request after the other. */
const CONNECTIONS = 16;
/** For the old process to end once the new one serves. */
const END_DEADLINE_MS = 15_000;

export const handOver: Step<Stage> = {
  title: 'Both node tunnels are replaced by new processes while a transfer runs',
  async *run(stage) {
    const orders = await startOrders(stage);
    const transfer = await startTransfer(stage, stage.till);
    try {
      await untilFlowing(transfer);
      yield `stock streams to till, till keeps ${CONNECTIONS} connections to the shop busy`;
      for (const node of [stage.east, stage.west]) {
        yield await replace(stage, node);
        await untilFlowing(transfer);
      }
      const { sent, received } = await finishTransfer(transfer);
      yield `sender:   ${sent}`;
      yield `receiver: ${received}`;
      hold(
        received === sent.replace('sent', 'complete'),
        'What was received is not what was sent: count and SHA-256 should be equal',
      );
      const bytes = Number(sent.split(' ')[1]);
      yield `one connection carried ${formatBytes(bytes)} through four processes, with the same SHA-256 at both ends`;
      yield await tally(orders);
    } finally {
      await Promise.all([orders.stop(), transfer.sender.stop()]);
    }
  },
};

/** Starts a second process beside the first; it takes over, and the first ends by itself. */
async function replace(stage: Stage, node: Node): Promise<string> {
  const tunnel = stage.tunnel(node);
  const beganMs = performance.now();
  const old = await tunnel.startSuccessor();
  const exit = await Promise.race([old.exited, timeout(END_DEADLINE_MS)]);
  hold(
    exit !== undefined,
    `The old process of ${node.name} still runs ${END_DEADLINE_MS / 1000} s after the new one serves`,
  );
  hold(
    exit.code === 0,
    `The old process of ${node.name} ended with ${exit.signal ?? exit.code}:\n${old.lines.slice(-5).join('\n')}`,
  );
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
  return `${node.name}: process ${tunnel.process.pid} has taken over from ${old.pid}, which ended with exit code 0 (${seconds} s with start-up)`;
}

async function startOrders(stage: Stage): Promise<Running> {
  const target = [stage.shop.ipv4, String(SHOP_PORT), '/again', String(CONNECTIONS)];
  const orders = stage.world.start(
    stage.till,
    program('tests/bed/programs/request-loop.ts', ...target),
  );
  await orders.waitFor(/^running$/);
  return orders;
}

async function tally(orders: Running): Promise<string> {
  const heard = orders.lines.length;
  orders.tell('how many?');
  const line = await orders.waitFor(/^\{/, undefined, heard);
  const { requests, errors, reconnects, slowestMs, reasons } = JSON.parse(line) as Tally;
  hold(
    errors === 0 && reconnects === 0,
    `Of ${requests} orders ${errors} failed, ${reconnects} connections broke: ${reasons.join('; ')}`,
  );
  return `meanwhile ${requests} orders on ${CONNECTIONS} connections: none failed, no connection broke, the slowest took ${slowestMs} ms`;
}

async function timeout(ms: number): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  setTimeout(() => resolve(undefined), ms).unref();
  return promise;
}
