import { setTimeout as sleep } from 'node:timers/promises';

import type { Running } from '#tests/bed/process.ts';
import type { Pod } from '#tests/bed/world.ts';

import type { Stage } from './stage.ts';

/** A stream from stock to another pod that lasts until its sender is told to finish. */
export interface Transfer {
  readonly sender: Running;
  readonly receiver: Running;
}

export const TRANSFER_PORT = 9000;

/** Enough to be in the middle of it, with every buffer on the way full. */
const FLOWING_REPORTS = 2;
/** For what is still buffered on the way. */
const END_DEADLINE_MS = 10_000;

/** Starts sender and receiver; the first bytes may still be on their way. */
export async function startTransfer(stage: Stage, to: Pod): Promise<Transfer> {
  const sender = stage.start(stage.stock, 'sender', TRANSFER_PORT);
  await sender.waitFor(/^ready$/);
  const receiver = stage.start(to, 'receiver', stage.stock.ipv4, TRANSFER_PORT);
  await sender.waitFor(/^sending to /);
  return { sender, receiver };
}

/** Resolves when so much more has arrived that the transfer is surely running. */
export async function untilFlowing({ receiver }: Transfer): Promise<void> {
  for (let report = 0; report < FLOWING_REPORTS; report++) {
    await receiver.waitFor(/^received /, undefined, receiver.lines.length);
  }
}

/** What the receiver says at its end: `complete …`, `incomplete …` or `broken …`; undefined when it has not ended in time. */
export async function endOf(
  { receiver }: Transfer,
  deadlineMs: number,
): Promise<string | undefined> {
  const ended = receiver.exited.then(() => receiver.lines.at(-1));
  return Promise.race([ended, sleep(deadlineMs, undefined, { ref: false })]);
}

/** Tells the sender to finish, and what both sides say at the end. */
export async function finishTransfer(
  transfer: Transfer,
): Promise<{ readonly sent: string; readonly received: string }> {
  transfer.sender.tell('finish');
  const sent = await transfer.sender.waitFor(/^sent /);
  const received = await endOf(transfer, END_DEADLINE_MS);
  return { sent, received: received ?? `nothing in ${END_DEADLINE_MS / 1000} s` };
}

/** `1.23 GB`, `456 MB`. */
export function formatBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${Math.round(bytes / 1e6)} MB`;
}
