// A worker whose thread is a reactor: echoes messages, and what arrives on the descriptor that it is given.
import { parentPort, workerData } from 'node:worker_threads';

import { type EventHandler, READABLE } from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { receiveInto, sendFrom } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

const loop = await openThreadLoop();
const slab = allocateSlab(1_024);
const echo: EventHandler = {
  fd: (workerData as { fd: number }).fd,
  onEvents() {
    const received = receiveInto(echo.fd, slab, 0, slab.size);
    if (received > 0) sendFrom(echo.fd, slab, 0, received);
    else loop.remove(echo);
  },
};
loop.add(echo, READABLE);
loop.start();
parentPort?.on('message', (message: unknown) => {
  if (message === 'exit') process.exit();
  if (message === 'throw') throw new Error('a bug');
  const answer = { message, turns: loop.turns };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort has no origin
  parentPort?.postMessage(answer);
});
