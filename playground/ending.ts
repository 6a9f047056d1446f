import { setTimeout as wait } from 'node:timers/promises';

import type { PlaygroundConfig } from './config.ts';
import { type ClusterOwner, processStartTime, StateDirectory } from './state-directory.ts';

/** A cluster ends its pods, its nodes and itself in this time, or is ended. */
const END_MS_MAX = 20_000;
const POLL_MS = 50;

/** Ends the cluster of this name and removes what it has left. Answers what was done, for people. */
export async function endCluster(
  config: Pick<PlaygroundConfig, 'name' | 'stateDirectory'>,
): Promise<string> {
  const name = JSON.stringify(config.name);
  const state = new StateDirectory(config.stateDirectory);
  const found = state.standing().kind;
  const killAtMs = Date.now() + END_MS_MAX;
  const told = new Map<number, string>();
  for (;;) {
    const standing = state.standing();
    // It may have passed on to another process since the last look.
    if (standing.kind === 'running') told.set(...tell(standing.owner, told));
    const running = [...told].filter(([pid, startTime]) => processStartTime(pid) === startTime);
    if (running.length === 0) break;
    if (Date.now() > killAtMs) for (const [pid] of running) end(pid, 'SIGKILL');
    await wait(POLL_MS);
  }
  // Logs of one that could not start may be there, too.
  state.sweep();
  if (found === 'free') return `There is no cluster named ${name}.`;
  if (found === 'running') return `The cluster ${name} has ended.`;
  return `The cluster ${name} had ended already; what it had left is removed.`;
}

/** Once each. */
function tell(
  { pid, startTime }: ClusterOwner,
  told: ReadonlyMap<number, string>,
): readonly [number, string] {
  if (told.get(pid) !== startTime) end(pid, 'SIGTERM');
  return [pid, startTime];
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPERM') {
      throw new Error(`the cluster's process ${pid} belongs to somebody else`, { cause: error });
    }
    // It has ended meanwhile.
    if (code !== 'ESRCH') throw error;
  }
}
