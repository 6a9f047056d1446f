import { parentPort, workerData } from 'node:worker_threads';

import { invariant } from '#common/assert.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import type { Beat, Ready } from '#dataplane/workers/threads.ts';
import { noteDescriptorsIn } from '#reactor/owned-descriptors.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import { DataPlane } from './data-plane.ts';
import { packedBuffers } from './packed-pod.ts';
import type { FromWorker, Question, ToWorker, WorkerData, WorkerState } from './protocol.ts';

const port = parentPort;
invariant(port !== null, 'a data worker runs in a worker thread');

const { settings, owned } = workerData as WorkerData;
noteDescriptorsIn(owned);
const loop = await openThreadLoop();
const post = (message: FromWorker | Beat | Ready, moved: readonly ArrayBuffer[] = []): void =>
  port.postMessage(message, [...moved]);
const dataPlane = new DataPlane(loop, settings, post);

port.on('message', (message: ToWorker | Beat) => {
  if (message.type === 'beat') {
    post(message);
    return;
  }
  if (message.type === 'notice') {
    const { notice } = message;
    try {
      dataPlane.notice(notice);
    } catch (error) {
      // One bad notice is no reason to end every connection of this worker.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      post({ type: 'report', problem: `a fault of ours at the notice "${notice.kind}": ${text}` });
    }
    return;
  }
  const { id } = message;
  dataPlane.answer(message.question).then(
    (answer) => post({ type: 'answer', id, answer }, buffersOf(message.question, answer)),
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      post({ type: 'failed', id, reason });
    },
  );
});

loop.start();
post({ type: 'ready' });
saveCompiledCode();

/** Large answers are given away, not copied. */
function buffersOf(question: Question, answer: unknown): readonly ArrayBuffer[] {
  return question.kind === 'export' ? packedBuffers((answer as WorkerState).pods) : [];
}
