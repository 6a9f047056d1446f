import { isNotFound } from '#kube/errors.ts';
import {
  namespacedName,
  PODS,
  type Pod,
  REPLICA_SETS,
  type ReplicaSet,
  type ReplicaSetStatus,
} from '#kube/resources.ts';
import { labelRequirements, matchesLabels } from '#kube/selector.ts';

import { withCondition } from './conditions.ts';
import { type ControllerContext, Reconciler } from './controller.ts';
import { adoption, claim, controllerOf, ownerReference, removalOfOwners } from './ownership.ts';
import { countAvailable, isActive, isReady, podFromTemplate } from './pod-state.ts';
import { canonical } from './template-hash.ts';

// More at a time would only queue at the API server.
const PODS_PER_ROUND_MAX = 50;

/** Keeps as many pods of each ReplicaSet as it asks for. */
export class ReplicaSetController extends Reconciler {
  readonly #context: ControllerContext;
  /** Uids of pods whose deletion the server has accepted and the watch has not shown yet. */
  readonly #deleting = new Set<string>();

  constructor(context: ControllerContext) {
    super(context, 'replica-set', (key) => this.#reconcile(key));
    this.#context = context;
    const { replicaSets, pods } = context.watched;
    this.follow(replicaSets, (set) => [namespacedName(set.metadata)]);
    this.follow(pods, (pod) => this.#setsOf(pod));
    pods.on({
      added: () => undefined,
      changed: (pod) => {
        if (!isActive(pod)) this.#deleting.delete(pod.metadata.uid ?? '');
      },
      removed: (pod) => this.#deleting.delete(pod.metadata.uid ?? ''),
    });
  }

  *#setsOf(pod: Pod): Iterable<string> {
    const { namespace = '' } = pod.metadata;
    const owner = controllerOf(pod);
    if (owner !== undefined) {
      if (owner.kind === 'ReplicaSet') yield `${namespace}/${owner.name}`;
      return;
    }
    // An orphan: whoever selects it may want to have it.
    for (const set of this.#context.watched.replicaSets.list()) {
      if (set.metadata.namespace !== namespace) continue;
      if (matchesLabels(set.spec.selector, pod.metadata.labels)) yield namespacedName(set.metadata);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { watched, clock } = this.#context;
    const set = watched.replicaSets.get(key);
    if (set === undefined) return;
    const pods = await this.#claimPods(set);
    const plan = planReplicas(
      set,
      pods.filter((pod) => !this.#deleting.has(pod.metadata.uid ?? '')),
    );
    const failure =
      set.metadata.deletionTimestamp === undefined ? await this.#act(set, plan) : undefined;
    const present = watched.pods
      .list()
      .filter((pod) => controllerOf(pod)?.uid === set.metadata.uid);
    const { nextAtMs } = await this.#report(set, present, failure);
    if (nextAtMs !== undefined) this.addAfter(key, nextAtMs - clock.now());
    if (failure !== undefined) throw failure;
    if (plan.more) this.add(key);
  }

  /** The set's own pods, after it has taken the orphans it selects and let go what it no longer does. */
  async #claimPods(set: ReplicaSet): Promise<readonly Pod[]> {
    const { owned, adopt, release } = claim(
      set,
      set.spec.selector,
      this.#context.watched.pods.list(),
    );
    const mine = new Set([set.metadata.uid ?? '']);
    const adopted = adopt.filter(isActive).map(async (pod) => this.#patch(pod, adoption(set, pod)));
    const released = release.map(async (pod) => this.#patch(pod, removalOfOwners(pod, mine)));
    await Promise.all(released);
    const joined = await Promise.all(adopted);
    return [...owned, ...joined.filter((pod) => pod !== undefined)];
  }

  async #patch(pod: Pod, patch: unknown): Promise<Pod | undefined> {
    const { name, namespace } = pod.metadata;
    try {
      const { client, watched } = this.#context;
      const patched = await client.patch(PODS, name, namespace, patch, { type: 'merge' });
      watched.pods.observe(patched);
      return patched;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Carries the plan out. What goes wrong is answered, so that the status can say it first. */
  async #act(set: ReplicaSet, plan: ReplicaPlan): Promise<Error | undefined> {
    const results = await Promise.allSettled([
      ...Array.from({ length: plan.create }, () => this.#create(set)),
      ...plan.remove.map((pod) => this.#remove(set, pod)),
    ]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return undefined;
    const { reason } = failed;
    return reason instanceof Error ? reason : new Error(String(reason));
  }

  async #create(set: ReplicaSet): Promise<void> {
    const { client, watched, events } = this.#context;
    const { name, namespace } = set.metadata;
    const template = set.spec.template;
    if (template === undefined) return;
    const pod = podFromTemplate(template, {
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      ownerReferences: [ownerReference(set)],
    });
    try {
      const created = await client.create(PODS, pod);
      watched.pods.observe(created);
      const message = `Created pod: ${created.metadata.name}`;
      events.record(set, { type: 'Normal', reason: 'SuccessfulCreate', message });
    } catch (error) {
      const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`;
      events.record(set, { type: 'Warning', reason: 'FailedCreate', message });
      throw error;
    }
  }

  async #remove(set: ReplicaSet, pod: Pod): Promise<void> {
    const { client, events } = this.#context;
    const { name, namespace, uid = '' } = pod.metadata;
    this.#deleting.add(uid);
    try {
      await client.delete(PODS, name, namespace, { uid });
      const message = `Deleted pod: ${name}`;
      events.record(set, { type: 'Normal', reason: 'SuccessfulDelete', message });
    } catch (error) {
      if (isNotFound(error)) return;
      this.#deleting.delete(uid);
      throw error;
    }
  }

  async #report(
    set: ReplicaSet,
    pods: readonly Pod[],
    failure: Error | undefined,
  ): Promise<{ readonly nextAtMs: number | undefined }> {
    const { client, watched, clock } = this.#context;
    const { status, nextAtMs } = replicaSetStatus(set, pods, failure?.message, clock.now());
    const current = watched.replicaSets.get(namespacedName(set.metadata)) ?? set;
    if (canonical(current.status ?? {}) !== canonical(status)) {
      watched.replicaSets.observe(
        await client.replace(REPLICA_SETS, { ...current, status }, 'status'),
      );
    }
    return { nextAtMs };
  }
}

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
  /** There will be more to do after this round. */
  readonly more: boolean;
}

/** How many pods to make, or which ones to delete (pure). `pods` are the set's own. */
export function planReplicas(set: ReplicaSet, pods: readonly Pod[]): ReplicaPlan {
  const active = pods.filter(isActive);
  const missing = (set.spec.replicas ?? 1) - active.length;
  if (missing >= 0) {
    const create = Math.min(missing, PODS_PER_ROUND_MAX);
    return { create, remove: [], more: create < missing };
  }
  const ranked = rankForRemoval(active);
  const surplus = Math.min(-missing, PODS_PER_ROUND_MAX);
  return { create: 0, remove: ranked.slice(0, surplus), more: surplus < -missing };
}

/**
 * The pods in the order in which they are given up: those that serve least first, then those that
 * share a node with most others, then the youngest.
 */
export function rankForRemoval(pods: readonly Pod[]): readonly Pod[] {
  const perNode = new Map<string, number>();
  for (const { spec } of pods)
    perNode.set(spec.nodeName ?? '', (perNode.get(spec.nodeName ?? '') ?? 0) + 1);
  const rank = (pod: Pod): readonly number[] => [
    pod.spec.nodeName === undefined ? 0 : 1,
    ['Pending', 'Unknown', 'Running'].indexOf(pod.status?.phase ?? 'Pending'),
    isReady(pod) ? 1 : 0,
    -(perNode.get(pod.spec.nodeName ?? '') ?? 0),
    -Date.parse(pod.metadata.creationTimestamp ?? '1970-01-01T00:00:00Z'),
  ];
  return pods
    .map((pod) => ({ pod, rank: rank(pod) }))
    .toSorted((first, second) => compare(first.rank, second.rank))
    .map(({ pod }) => pod);
}

/** The status that follows from the set's pods (pure), and when a pod will have been ready for long enough. */
export function replicaSetStatus(
  set: ReplicaSet,
  pods: readonly Pod[],
  failure: string | undefined,
  nowMs: number,
): { readonly status: ReplicaSetStatus; readonly nextAtMs: number | undefined } {
  const active = pods.filter(isActive);
  const required = labelRequirements({ matchLabels: set.spec.template?.metadata?.labels ?? {} });
  const { available, nextAtMs } = countAvailable(active, set.spec.minReadySeconds ?? 0, nowMs);
  const conditions = withCondition(
    set.status?.conditions ?? [],
    failure === undefined
      ? { type: 'ReplicaFailure', status: 'False' }
      : { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: failure },
    nowMs,
  ).filter(({ status }) => status === 'True');
  const counts = {
    fullyLabeledReplicas: active.filter(({ metadata }) => matchesLabels(required, metadata.labels))
      .length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: available,
  };
  const status: ReplicaSetStatus = {
    replicas: active.length,
    // Zeros are left out, as other servers do it.
    ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)),
    observedGeneration: set.metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
  return { status, nextAtMs };
}

function compare(first: readonly number[], second: readonly number[]): number {
  for (const [index, value] of first.entries()) {
    const difference = value - (second[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
