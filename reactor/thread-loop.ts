import { isMainThread } from 'node:worker_threads';

import koffi from 'koffi';

import { Loop } from './loop.ts';

/**
 * The loop of the calling thread. Call it once per thread. What a thread that ends had open stays open: descriptors
 * belong to the process; whoever started it closes them (owned-descriptors.ts). A worker needs `node:ffi` to find its
 * `uv_loop_t`; it is loaded only there, because the main thread's is the process's default loop.
 */
export async function openThreadLoop(): Promise<Loop> {
  if (isMainThread) {
    const defaultLoop: () => bigint | number = koffi.load(null).func('uint64_t uv_default_loop()');
    return new Loop(BigInt(defaultLoop()));
  }
  const { getCurrentEventLoop } = await import('node:ffi');
  const loop = new Loop(getCurrentEventLoop());
  process.once('exit', () => loop.stop());
  return loop;
}
