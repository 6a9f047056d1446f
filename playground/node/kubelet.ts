import type { Pod } from '#kube/resources.ts';

import type { NodeContext } from './pod-context.ts';
import { PodWorker } from './pod-worker.ts';

/** The pods of a node, each with a worker of its own. */
export class Kubelet {
  readonly #node: NodeContext;
  readonly #workers = new Map<string, PodWorker>();
  #stopping = false;

  constructor(node: NodeContext) {
    this.#node = node;
  }

  get workers(): readonly PodWorker[] {
    return [...this.#workers.values()];
  }

  /** The pod is to be here, as it says; also when it is to end. */
  put(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const worker = this.#workers.get(uid);
    if (worker !== undefined) return worker.update(pod);
    if (this.#stopping) return;
    // One whose namesake is still ending waits: its files and logs have other names, so that it need not.
    if (pod.metadata.deletionTimestamp !== undefined) return this.#node.access.reportGone(pod);
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return;
    const fresh = new PodWorker(this.#node, pod);
    this.#workers.set(uid, fresh);
    fresh.done
      .catch((error: unknown) => {
        const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.#node.log.error('a pod was given up', { pod: pod.metadata.name, error: why });
        this.#node.access.reportGone(pod);
      })
      .finally(() => this.#workers.delete(uid));
  }

  /** The object is gone: nothing of the pod may stay. */
  remove(pod: Pod): void {
    this.#workers.get(pod.metadata.uid ?? '')?.terminate(undefined);
  }

  find(namespace: string, name: string): PodWorker | undefined {
    return this.workers.find(
      ({ pod: { metadata } }) => metadata.name === name && metadata.namespace === namespace,
    );
  }

  /** Ends all pods. */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopping = true;
    const { workers } = this;
    for (const worker of workers) worker.leave(graceSeconds);
    await Promise.all(workers.map(async ({ done }) => done.catch(() => undefined)));
  }
}
