import { parentPort, workerData } from 'node:worker_threads';

import { invariant } from '#common/assert.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import { noteDescriptorsIn } from '#reactor/owned-descriptors.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import type { FromWorker, ToWorker, WorkerData } from './protocol.ts';
import { WaypointWorker } from './worker.ts';

const port = parentPort;
invariant(port !== null, 'a data worker runs in a worker thread');

const { settings, owned } = workerData as WorkerData;
noteDescriptorsIn(owned);
const loop = await openThreadLoop();
const post = (message: FromWorker): void => port.postMessage(message);
const worker = new WaypointWorker(loop, settings, post);

port.on('message', (message: ToWorker) => {
  try {
    worker.take(message);
  } catch (error) {
    // One bad message is no reason to end every connection of this worker.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    post({ type: 'report', problem: `a fault of ours at the message "${message.type}": ${text}` });
  }
});

loop.start();
post({ type: 'ready' });
saveCompiledCode();
