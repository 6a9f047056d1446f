import { parentPort, workerData } from 'node:worker_threads';

import { invariant } from '#common/assert.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import { DataPlane } from './data-plane.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './protocol.ts';

const port = parentPort;
invariant(port !== null, 'a data worker runs in a worker thread');

const loop = await openThreadLoop();
const post = (message: FromWorker): void => port.postMessage(message);
const dataPlane = new DataPlane(loop, workerData as WorkerSettings, post);

port.on('message', (message: ToWorker) => {
  if (message.type === 'notice') {
    dataPlane.notice(message.notice);
    return;
  }
  const { id } = message;
  dataPlane.answer(message.question).then(
    (answer) => post({ type: 'answer', id, answer }),
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      post({ type: 'failed', id, reason });
    },
  );
});

loop.start();
post({ type: 'ready' });
