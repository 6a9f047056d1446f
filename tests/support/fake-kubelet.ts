import type { KubeClient } from '#kube/client.ts';
import { isConflict, isNotFound } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import { LEASES, NODES, type Node, PODS, type Pod } from '#kube/resources.ts';

/** What becomes of a pod that has been given a node. */
export type PodFate = 'ready' | 'unready' | 'failed';

/**
 * Plays the kubelets of all nodes: pods become what `fate` says as soon as they have a node, and go as
 * soon as they are deleted. No process runs.
 */
export class FakeKubelet {
  readonly #client: KubeClient;
  readonly #pods: Informer<Pod>;
  readonly #fate: (pod: Pod) => PodFate;
  #addresses = 0;

  constructor(client: KubeClient, fate: (pod: Pod) => PodFate = () => 'ready') {
    this.#client = client;
    this.#fate = fate;
    this.#pods = new Informer(client, PODS);
    const look = (pod: Pod): void => void this.#look(pod).catch(ignoreOvertaken);
    this.#pods.on({ added: look, changed: look, removed: () => undefined });
    this.#pods.start();
  }

  /** Registers nodes. */
  async join(
    ...nodes: readonly (Partial<Node['metadata']> & { readonly name: string })[]
  ): Promise<void> {
    for (const metadata of nodes) {
      await this.#client.create(NODES, { apiVersion: 'v1', kind: 'Node', metadata });
    }
  }

  /** Lets nodes that are registered count as alive for as long as the test takes. */
  async keepAlive(...nodes: readonly string[]): Promise<void> {
    for (const name of nodes) {
      await this.#client.create(LEASES, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace: 'kube-node-lease' },
        spec: { holderIdentity: name, renewTime: '2999-01-01T00:00:00.000000Z' },
      });
    }
  }

  /** Looks at all pods again: what `fate` answers has changed. */
  async refresh(): Promise<void> {
    for (const pod of this.#pods.list()) await this.#look(pod).catch(ignoreOvertaken);
  }

  stop(): void {
    this.#pods.stop();
  }

  async #look(pod: Pod): Promise<void> {
    const { name, namespace, deletionTimestamp } = pod.metadata;
    if (pod.spec.nodeName === undefined) return;
    if (deletionTimestamp !== undefined) {
      await this.#client.delete(PODS, name, namespace, { gracePeriodSeconds: 0 });
      return;
    }
    const fate = this.#fate(pod);
    const ready = fate === 'ready' ? 'True' : 'False';
    const phase = fate === 'failed' ? 'Failed' : 'Running';
    const known = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    if (pod.status?.phase === phase && known === ready) return;
    const podIP = pod.status?.podIP ?? this.#nextAddress();
    const lastTransitionTime = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const conditions = [{ type: 'Ready', status: ready, lastTransitionTime }];
    const status = { phase, podIP, podIPs: [{ ip: podIP }], conditions };
    await this.#client.patch(
      PODS,
      name,
      namespace,
      { status },
      { type: 'merge', subresource: 'status' },
    );
  }

  #nextAddress(): string {
    this.#addresses += 1;
    return `10.244.${this.#addresses >> 8}.${this.#addresses & 255}`;
  }
}

/** Somebody else was quicker; the watch shows what there is to do now. */
function ignoreOvertaken(error: unknown): void {
  if (!isNotFound(error) && !isConflict(error)) throw error;
}
