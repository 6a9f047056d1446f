import type { LocalPod } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import type { Timer } from '#reactor/timers.ts';

import type { PodContext } from './context.ts';

/** How long a connection waits for the configuration of its own pod. */
const WAIT_MS = 5_000;
const POLL_MS = 50;

/** The pod as the mesh knows it; undefined until its configuration has come. */
export function localWorkload(context: PodContext): Workload | undefined {
  return context.thread.mesh.localWorkload(context.pod);
}

/**
 * Calls `timer` soon, to look again for the pod's configuration; false when the connection, which came at
 * `startMs` (milliseconds since 1970), has waited long enough.
 */
export function waitForLocalWorkload(context: PodContext, timer: Timer, startMs: number): boolean {
  if (Date.now() - startMs >= WAIT_MS) return false;
  const { loop } = context.thread;
  loop.timers.schedule(timer, loop.nowMs + POLL_MS);
  return true;
}

/** The reason for the log when it never came. */
export function unknownLocalWorkload(pod: LocalPod): string {
  return `failed to fetch information about local workload: ${pod.namespace}/${pod.name}`;
}
