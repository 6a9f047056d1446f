// Enters a namespace and loses the way back: stranded.ts <namespace> main|worker
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { isMainThread, Worker } from 'node:worker_threads';

import { inNetns, openNetns } from '#linux/netns.ts';

const [, , name, mode] = process.argv;
if (mode === 'worker' && isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  worker.once('error', (error) => {
    throw error;
  });
} else {
  inNetns(openNetns(`/run/netns/${name}`), () => {
    for (const fd of readdirSync('/proc/self/fd').map(Number)) {
      if (isNamespace(fd)) closeSync(fd);
    }
  });
}

function isNamespace(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('net:');
  } catch {
    return false;
  }
}
