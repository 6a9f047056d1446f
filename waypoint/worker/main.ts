import { parentPort, workerData } from 'node:worker_threads';

import { invariant } from '#common/assert.ts';
import { collectGarbage } from '#common/collect-garbage.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import type { Beat, Ready } from '#dataplane/workers/threads.ts';
import { noteDescriptorsIn } from '#reactor/owned-descriptors.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import type { FromWorker, ToWorker, WorkerData } from './protocol.ts';
import { WaypointWorker } from './worker.ts';

const port = parentPort;
invariant(port !== null, 'a data worker runs in a worker thread');

const { settings, owned, tunnels } = workerData as WorkerData;
noteDescriptorsIn(owned);
const loop = await openThreadLoop();
const post = (message: FromWorker | Beat | Ready): void => port.postMessage(message);
const worker = new WaypointWorker(loop, settings, {
  post,
  tunnelGone: () => void Atomics.sub(new Int32Array(tunnels), 0, 1),
});

port.on('message', (message: ToWorker | Beat) => {
  if (message.type === 'beat') {
    post(message);
    return;
  }
  try {
    worker.take(message);
  } catch (error) {
    // One bad message is no reason to end every connection of this worker.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    post({ type: 'report', problem: `a fault of ours at the message "${message.type}": ${text}` });
  }
});

saveCompiledCode();
await collectGarbage();
loop.start();
post({ type: 'ready' });
