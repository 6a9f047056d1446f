import { setTimeout as sleep } from 'node:timers/promises';

import { setsockopt } from '#linux/libc.ts';
import { sendProgress } from '#reactor/socket.ts';

const SETTLE_POLL_MS = 100;
const SETTLED_POLLS = 8;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;

/** Waits until the kernel has acknowledged all that it will: it does so late, and on a busy machine later. */
export async function untilStill(fd: number): Promise<void> {
  let acknowledged = -1n;
  for (let same = 0; same < SETTLED_POLLS; ) {
    await sleep(SETTLE_POLL_MS);
    const now = sendProgress(fd)?.acknowledgedBytes ?? 0n;
    same = now === acknowledged ? same + 1 : 0;
    acknowledged = now;
  }
}

/** Lets the kernel hold no more than about `size` bytes of what is sent, whatever its own limits are. */
export function limitSendBuffer(fd: number, size: number): void {
  setBuffer(fd, SO_SNDBUF, size);
}

/** The same for what has arrived and is not read. */
export function limitReceiveBuffer(fd: number, size: number): void {
  setBuffer(fd, SO_RCVBUF, size);
}

function setBuffer(fd: number, option: number, size: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(size);
  if (setsockopt(fd, SOL_SOCKET, option, bytes, 4) !== 0)
    throw new Error('The buffer has no limit');
}
