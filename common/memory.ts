import { totalmem } from 'node:os';

/** What this process may use: the machine's memory, or its container's. */
export function availableMemoryBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}
