import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/** Bit of CAP_SYS_NICE in a capability set (capabilities(7)). */
const CAP_SYS_NICE = 23n;

/**
 * Gives all threads of this process the scheduling priority `nice` (-20 first, 19 last; setpriority(2) is per
 * thread on Linux, and new threads have that of the thread that starts them). False, and nothing changed, when
 * it could not be taken back (that needs CAP_SYS_NICE), or when there is no descriptor to look with.
 */
export function setThreadPriorities(nice: number): boolean {
  let threads: readonly string[];
  try {
    if (!mayRaisePriority()) return false;
    threads = readdirSync('/proc/self/task');
  } catch {
    return false;
  }
  for (const thread of threads) {
    try {
      setPriority(Number(thread), nice);
    } catch {
      // The thread has ended meanwhile.
    }
  }
  return true;
}

function mayRaisePriority(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective !== undefined && (BigInt(`0x${effective}`) & (1n << CAP_SYS_NICE)) !== 0n;
}
