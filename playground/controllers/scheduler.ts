import { isConflict, isNotFound } from '#kube/errors.ts';
import { namespacedName, PODS, type Pod } from '#kube/resources.ts';
import { findCondition, withCondition } from './conditions.ts';
import { type ControllerContext, Reconciler } from './controller.ts';
import { schedule } from './schedule.ts';
import { canonical } from './template-hash.ts';

/** What pods call it. */
const NAME = 'default-scheduler';

/** Gives each pod that has none a node. */
export class Scheduler extends Reconciler {
  readonly #context: ControllerContext;
  /** Uid → node, for pods that are bound and not yet seen so. */
  readonly #bound = new Map<string, string>();
  /** Keys of pods that no node would take; tried again when something changes. */
  readonly #unschedulable = new Set<string>();

  constructor(context: ControllerContext) {
    super(context, 'scheduler', (key) => this.#reconcile(key), 8);
    this.#context = context;
    const { pods, nodes } = context.watched;
    this.follow(pods, (pod) => (isWaiting(pod) ? [namespacedName(pod.metadata)] : []));
    this.follow(nodes, (node, other) => {
      const seen = ({ spec, metadata, status }: typeof node): string =>
        canonical([spec, metadata.labels, status?.allocatable]);
      const isNews = other === undefined || seen(other) !== seen(node);
      return isNews ? this.#unschedulable : [];
    });
    pods.on({
      added: () => undefined,
      changed: (pod) => {
        if (!isUnbound(pod)) this.#bound.delete(pod.metadata.uid ?? '');
      },
      removed: (pod) => {
        this.#bound.delete(pod.metadata.uid ?? '');
        this.#unschedulable.delete(namespacedName(pod.metadata));
        // There is room again.
        for (const key of this.#unschedulable) this.add(key);
      },
    });
  }

  async #reconcile(key: string): Promise<void> {
    const { watched } = this.#context;
    const pod = watched.pods.get(key);
    if (pod === undefined || !isWaiting(pod) || this.#bound.has(pod.metadata.uid ?? '')) return;
    const pods = watched.pods.list().map((each) => this.#withNode(each));
    const chosen = schedule(pod, watched.nodes.list(), pods);
    if (chosen.kind === 'placed') {
      this.#unschedulable.delete(key);
      await this.#bind(pod, chosen.node);
    } else {
      this.#unschedulable.add(key);
      await this.#refuse(pod, chosen.message);
    }
  }

  #withNode(pod: Pod): Pod {
    const node = this.#bound.get(pod.metadata.uid ?? '');
    return node === undefined || !isUnbound(pod)
      ? pod
      : { ...pod, spec: { ...pod.spec, nodeName: node } };
  }

  async #bind(pod: Pod, node: string): Promise<void> {
    const { name, namespace, uid = '' } = pod.metadata;
    // Before the answer: what is decided meanwhile has to count with it.
    this.#bound.set(uid, node);
    try {
      await this.#context.client.post(PODS, name, namespace, 'binding', {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target: { apiVersion: 'v1', kind: 'Node', name: node },
      });
    } catch (error) {
      this.#bound.delete(uid);
      // Gone, or bound by somebody else: the watch will say.
      if (isNotFound(error) || isConflict(error)) return;
      throw error;
    }
    const message = `Successfully assigned ${namespacedName(pod.metadata)} to ${node}`;
    this.#context.events.record(pod, { type: 'Normal', reason: 'Scheduled', message });
  }

  async #refuse(pod: Pod, message: string): Promise<void> {
    const { client, clock, watched } = this.#context;
    const before = findCondition(pod.status?.conditions, 'PodScheduled');
    if (before?.status === 'False' && before.message === message) return;
    this.#context.events.record(pod, { type: 'Warning', reason: 'FailedScheduling', message });
    const conditions = withCondition(
      pod.status?.conditions ?? [],
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message },
      clock.now(),
    );
    const { name, namespace } = pod.metadata;
    const patch = { status: { conditions } };
    const options = { type: 'merge', subresource: 'status' } as const;
    try {
      watched.pods.observe(await client.patch(PODS, name, namespace, patch, options));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function isWaiting(pod: Pod): boolean {
  const { schedulerName = NAME, schedulingGates = [] } = pod.spec;
  return (
    isUnbound(pod) &&
    schedulerName === NAME &&
    schedulingGates.length === 0 &&
    pod.metadata.deletionTimestamp === undefined
  );
}

function isUnbound(pod: Pod): boolean {
  return pod.spec.nodeName === undefined || pod.spec.nodeName === '';
}
