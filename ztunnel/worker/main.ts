import { parentPort, workerData } from 'node:worker_threads';

import { invariant } from '#common/assert.ts';
import { keepCompiledCode, saveCompiledCode } from '#common/compile-cache.ts';

import type { FromWorker, ToWorker, WorkerSettings } from './protocol.ts';

keepCompiledCode();
const { openThreadLoop } = await import('#reactor/thread-loop.ts');
const { DataPlane } = await import('./data-plane.ts');

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
saveCompiledCode();
