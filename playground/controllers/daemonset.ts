import { isNotFound } from '#kube/errors.ts';
import { DAEMON_SETS, type DaemonSet, namespacedName, PODS, type Pod } from '#kube/resources.ts';
import { matchesLabels } from '#kube/selector.ts';

import { type ControllerContext, Reconciler } from './controller.ts';
import { type DaemonPlan, daemonTolerations, HASH_LABEL, planDaemons } from './daemon-plan.ts';
import { adoption, claim, controllerOf, ownerReference, removalOfOwners } from './ownership.ts';
import { affinityToNode } from './placement.ts';
import { isOver, podFromTemplate } from './pod-state.ts';
import { canonical, templateHash } from './template-hash.ts';

// A pod that ends as soon as it starts must not be replaced without end at full speed.
const REPLACE_ENDED_MS = 1_000;

/** Keeps one pod of each DaemonSet on every node that it is meant for. */
export class DaemonSetController extends Reconciler {
  readonly #context: ControllerContext;
  /** Uids of pods whose deletion the server has accepted and the watch has not shown yet. */
  readonly #deleting = new Set<string>();

  constructor(context: ControllerContext) {
    super(context, 'daemonset', (key) => this.#reconcile(key));
    this.#context = context;
    const { daemonSets, pods, nodes } = context.watched;
    this.follow(daemonSets, (set) => [namespacedName(set.metadata)]);
    this.follow(pods, (pod) => this.#setsOf(pod));
    this.follow(nodes, (node, other) => {
      // Heartbeats change nothing for us.
      const seen = (each: typeof node): string =>
        canonical([each.spec?.taints, each.metadata.labels]);
      if (other !== undefined && seen(other) === seen(node)) return [];
      return daemonSets.list().map(({ metadata }) => namespacedName(metadata));
    });
    const forget = (pod: Pod): void => void this.#deleting.delete(pod.metadata.uid ?? '');
    pods.on({
      added: () => undefined,
      changed: (pod) => {
        if (pod.metadata.deletionTimestamp !== undefined) forget(pod);
      },
      removed: forget,
    });
  }

  *#setsOf(pod: Pod): Iterable<string> {
    const { namespace = '' } = pod.metadata;
    const owner = controllerOf(pod);
    if (owner !== undefined) {
      if (owner.kind === 'DaemonSet') yield `${namespace}/${owner.name}`;
      return;
    }
    for (const { metadata, spec } of this.#context.watched.daemonSets.list()) {
      if (metadata.namespace !== namespace) continue;
      if (matchesLabels(spec.selector, pod.metadata.labels)) yield namespacedName(metadata);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { watched, clock } = this.#context;
    const set = watched.daemonSets.get(key);
    if (set === undefined) return;
    await this.#claimPods(set);
    const plan = this.#plan(set);
    if (set.metadata.deletionTimestamp === undefined) {
      await Promise.all([
        ...plan.create.map((node) => this.#create(set, node)),
        ...plan.remove.map((pod) => this.#remove(set, pod, key)),
      ]);
    }
    const { status, nextAtMs } = this.#plan(set);
    if (nextAtMs !== undefined) this.addAfter(key, nextAtMs - clock.now());
    const current = watched.daemonSets.get(key) ?? set;
    if (canonical(current.status ?? {}) === canonical(status)) return;
    const { client } = this.#context;
    const merged = { ...current, status };
    watched.daemonSets.observe(await client.replace(DAEMON_SETS, merged, 'status'));
  }

  #plan(set: DaemonSet): DaemonPlan {
    const { watched, clock } = this.#context;
    const mine = watched.pods.list().filter((pod) => controllerOf(pod)?.uid === set.metadata.uid);
    const pods = mine.map((pod) => (this.#isDeleting(pod) ? leaving(pod) : pod));
    return planDaemons(set, watched.nodes.list(), pods, clock.now());
  }

  #isDeleting(pod: Pod): boolean {
    return this.#deleting.has(pod.metadata.uid ?? '');
  }

  async #claimPods(set: DaemonSet): Promise<void> {
    const { client, watched } = this.#context;
    const { adopt, release } = claim(set, set.spec.selector, watched.pods.list());
    const mine = new Set([set.metadata.uid ?? '']);
    const patches = [
      ...adopt.map((pod) => [pod, adoption(set, pod)] as const),
      ...release.map((pod) => [pod, removalOfOwners(pod, mine)] as const),
    ];
    for (const [pod, patch] of patches) {
      const { name, namespace } = pod.metadata;
      watched.pods.observe(await client.patch(PODS, name, namespace, patch, { type: 'merge' }));
    }
  }

  async #create(set: DaemonSet, node: string): Promise<void> {
    const { client, watched, events } = this.#context;
    const { name, namespace } = set.metadata;
    const { template } = set.spec;
    const pod = podFromTemplate(template, {
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      ownerReferences: [ownerReference(set)],
    });
    const labels = { ...pod.metadata.labels, [HASH_LABEL]: templateHash(template) };
    const { affinity } = pod.spec;
    const spec = {
      ...pod.spec,
      affinity: { ...affinity, ...affinityToNode(node) },
      tolerations: daemonTolerations(pod.spec),
    };
    try {
      const wanted = { ...pod, metadata: { ...pod.metadata, labels }, spec };
      const created = await client.create(PODS, wanted);
      watched.pods.observe(created);
      const message = `Created pod: ${created.metadata.name}`;
      events.record(set, { type: 'Normal', reason: 'SuccessfulCreate', message });
    } catch (error) {
      const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`;
      events.record(set, { type: 'Warning', reason: 'FailedCreate', message });
      throw error;
    }
  }

  async #remove(set: DaemonSet, pod: Pod, key: string): Promise<void> {
    const { client, clock, events } = this.#context;
    const { name, namespace, uid = '' } = pod.metadata;
    if (isOver(pod)) {
      const dueMs = Date.parse(pod.metadata.creationTimestamp ?? '') + REPLACE_ENDED_MS;
      if (dueMs > clock.now()) {
        this.addAfter(key, dueMs - clock.now());
        return;
      }
    }
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
}

/** The pod as it will be once the watch shows that it is being deleted. */
function leaving(pod: Pod): Pod {
  if (pod.metadata.deletionTimestamp !== undefined) return pod;
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '1970-01-01T00:00:00Z' } };
}
