import { setTimeout as wait } from 'node:timers/promises';

import type { PlaygroundConfig } from './config.ts';
import { processStartTime, StateDirectory } from './state-directory.ts';

/** A cluster ends its pods, its nodes and itself in this time, or is ended. */
const END_MS_MAX = 20_000;
const POLL_MS = 50;

/** Ends the cluster of this name and removes what it has left. Answers what was done, for people. */
export async function endCluster(
  config: Pick<PlaygroundConfig, 'name' | 'stateDirectory'>,
): Promise<string> {
  const name = JSON.stringify(config.name);
  const state = new StateDirectory(config.stateDirectory);
  const standing = state.standing();
  if (standing.kind === 'free') {
    // Logs of one that could not start may be there.
    state.clean('nothing');
    return `There is no cluster named ${name}.`;
  }
  if (standing.kind === 'left') {
    state.clean('nothing');
    return `The cluster ${name} had ended already; what it had left is removed.`;
  }
  const { pid, startTime } = standing.owner;
  end(pid, 'SIGTERM');
  for (let deadlineMs = Date.now() + END_MS_MAX; processStartTime(pid) === startTime; ) {
    await wait(POLL_MS);
    if (Date.now() < deadlineMs) continue;
    end(pid, 'SIGKILL');
    deadlineMs = Number.POSITIVE_INFINITY;
  }
  state.clean('nothing');
  return `The cluster ${name} has ended.`;
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
