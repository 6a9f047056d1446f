import { isAlreadyExists, isNotFound } from '#kube/errors.ts';
import {
  DEPLOYMENTS,
  type Deployment,
  namespacedName,
  REPLICA_SETS,
  type ReplicaSet,
} from '#kube/resources.ts';
import { matchesLabels } from '#kube/selector.ts';

import { type ControllerContext, NotYet, Reconciler } from './controller.ts';
import { deploymentStatus, isComplete, progressDeadlineMs } from './deployment-status.ts';
import { adoption, claim, controllerOf, ownerReference, removalOfOwners } from './ownership.ts';
import {
  DESIRED_REPLICAS,
  expiredSets,
  MAX_REPLICAS,
  nextSizes,
  REVISION,
  type RolloutSets,
  revisionOf,
  rolloutLimits,
  sizeOf,
  sum,
} from './rollout.ts';
import { canonical, templateHash } from './template-hash.ts';

const HASH_LABEL = 'pod-template-hash';
const NOT_COPIED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
]);

/** Moves each Deployment's pods from one template to the next through ReplicaSets, one per template. */
export class DeploymentController extends Reconciler {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    super(context, 'deployment', (key) => this.#reconcile(key));
    this.#context = context;
    const { deployments, replicaSets } = context.watched;
    this.follow(deployments, (deployment) => [namespacedName(deployment.metadata)]);
    this.follow(replicaSets, (set) => this.#deploymentsOf(set));
  }

  *#deploymentsOf(set: ReplicaSet): Iterable<string> {
    const { namespace = '' } = set.metadata;
    const owner = controllerOf(set);
    if (owner !== undefined) {
      if (owner.kind === 'Deployment') yield `${namespace}/${owner.name}`;
      return;
    }
    for (const { metadata, spec } of this.#context.watched.deployments.list()) {
      if (metadata.namespace !== namespace) continue;
      if (matchesLabels(spec.selector, set.metadata.labels)) yield namespacedName(metadata);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const deployment = this.#context.watched.deployments.get(key);
    if (deployment === undefined) return;
    if (deployment.metadata.deletionTimestamp !== undefined) {
      await this.#report(deployment, await this.#setsOf(deployment));
      return;
    }
    const found = await this.#setsOf(deployment);
    const sets =
      found.current === undefined && deployment.spec.paused !== true
        ? await this.#withNewSet(deployment, found)
        : await this.#withRevision(deployment, found);
    const sized = await this.#resize(deployment, sets);
    const current = await this.#report(deployment, sized);
    if (current.status !== undefined && isComplete(current, current.status)) {
      for (const set of expiredSets(current, sized)) await this.#remove(set);
    }
  }

  async #setsOf(deployment: Deployment): Promise<RolloutSets> {
    const { selector } = deployment.spec;
    const all = this.#context.watched.replicaSets.list();
    const { owned, adopt, release } = claim(deployment, selector, all);
    const mine = new Set([deployment.metadata.uid ?? '']);
    for (const set of release) await this.#patch(set, removalOfOwners(set, mine));
    const adopted: ReplicaSet[] = [];
    for (const set of adopt) adopted.push(await this.#patch(set, adoption(deployment, set)));
    return sortSets(deployment, [...owned, ...adopted]);
  }

  async #withNewSet(deployment: Deployment, sets: RolloutSets): Promise<RolloutSets> {
    const { client, watched } = this.#context;
    const wanted = newSet(deployment, sets);
    try {
      const created = await client.create(REPLICA_SETS, wanted);
      watched.replicaSets.observe(created);
      this.#tellSize(deployment, created, sizeOf(created));
      return { ...sets, current: created };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    const { name, namespace } = wanted.metadata;
    const existing = await client.get(REPLICA_SETS, name, namespace);
    watched.replicaSets.observe(existing);
    if (controllerOf(existing)?.uid === deployment.metadata.uid)
      return { ...sets, current: existing };
    // Somebody else's: the next name is another one.
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    const status = { ...deployment.status, collisionCount };
    watched.deployments.observe(
      await client.replace(DEPLOYMENTS, { ...deployment, status }, 'status'),
    );
    throw new NotYet(`The name "${name}" is taken by another ReplicaSet`);
  }

  /** The present template may be one that was in use before: its set then gets the next revision. */
  async #withRevision(deployment: Deployment, sets: RolloutSets): Promise<RolloutSets> {
    const { current, old } = sets;
    if (current === undefined) return sets;
    const newest = Math.max(0, ...old.map(revisionOf));
    const revision = Math.max(revisionOf(current), newest + 1);
    const annotations = setAnnotations(deployment, revision);
    const known = current.metadata.annotations ?? {};
    const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
    const same = Object.entries(annotations).every(
      ([key, value]) => known[key] === value || key === DESIRED_REPLICAS || key === MAX_REPLICAS,
    );
    if (same && (current.spec.minReadySeconds ?? 0) === minReadySeconds) return sets;
    // Sizes are annotated when they are set, so that a change of the wanted number can be seen.
    const { [DESIRED_REPLICAS]: _desired, [MAX_REPLICAS]: _most, ...described } = annotations;
    const patch = { metadata: { annotations: described }, spec: { minReadySeconds } };
    return { current: await this.#patch(current, patch), old };
  }

  async #resize(deployment: Deployment, sets: RolloutSets): Promise<RolloutSets> {
    const sizes = nextSizes(deployment, sets);
    const limits = rolloutLimits(deployment);
    const apply = async (set: ReplicaSet): Promise<ReplicaSet> => {
      const size = sizes.get(set.metadata.name);
      const annotations = {
        [DESIRED_REPLICAS]: String(deployment.spec.replicas ?? 1),
        [MAX_REPLICAS]: String(limits.most),
      };
      const isAnnotated = Object.entries(annotations).every(
        ([key, value]) => set.metadata.annotations?.[key] === value,
      );
      if (size === undefined && (isAnnotated || sizeOf(set) === 0)) return set;
      const spec = size === undefined ? {} : { spec: { replicas: size } };
      const resized = await this.#patch(set, { metadata: { annotations }, ...spec });
      if (size !== undefined) this.#tellSize(deployment, set, size);
      return resized;
    };
    const old: ReplicaSet[] = [];
    for (const set of sets.old) old.push(await apply(set));
    return { current: sets.current === undefined ? undefined : await apply(sets.current), old };
  }

  #tellSize(deployment: Deployment, set: ReplicaSet, size: number): void {
    const { name } = set.metadata;
    const before = sizeOf(set);
    const direction = size >= before ? 'up' : 'down';
    const from = before === size ? '' : ` from ${before}`;
    const message = `Scaled ${direction} replica set ${name}${from} to ${size}`;
    this.#context.events.record(deployment, {
      type: 'Normal',
      reason: 'ScalingReplicaSet',
      message,
    });
  }

  /** Writes the revision and the status, where they differ. Answers the deployment as it now is. */
  async #report(deployment: Deployment, sets: RolloutSets): Promise<Deployment> {
    const { client, watched, clock } = this.#context;
    let current = await this.#annotateRevision(deployment, sets);
    const status = deploymentStatus(current, sets, clock.now());
    if (canonical(status) !== canonical(current.status ?? {})) {
      current = await client.replace(DEPLOYMENTS, { ...current, status }, 'status');
      watched.deployments.observe(current);
    }
    const deadlineMs = progressDeadlineMs(current, status);
    if (deadlineMs !== undefined && deadlineMs > clock.now()) {
      this.addAfter(namespacedName(current.metadata), deadlineMs - clock.now());
    }
    return { ...current, status };
  }

  async #annotateRevision(deployment: Deployment, sets: RolloutSets): Promise<Deployment> {
    const { client, watched } = this.#context;
    const revision = sets.current?.metadata.annotations?.[REVISION];
    if (revision === undefined || deployment.metadata.annotations?.[REVISION] === revision) {
      return deployment;
    }
    const { name, namespace } = deployment.metadata;
    const patch = { metadata: { annotations: { [REVISION]: revision } } };
    const patched = await client.patch(DEPLOYMENTS, name, namespace, patch, { type: 'merge' });
    watched.deployments.observe(patched);
    return patched;
  }

  async #patch(set: ReplicaSet, patch: unknown): Promise<ReplicaSet> {
    const { client, watched } = this.#context;
    const { name, namespace } = set.metadata;
    const patched = await client.patch(REPLICA_SETS, name, namespace, patch, { type: 'merge' });
    watched.replicaSets.observe(patched);
    return patched;
  }

  async #remove(set: ReplicaSet): Promise<void> {
    const { name, namespace, uid = '' } = set.metadata;
    try {
      await this.#context.client.delete(REPLICA_SETS, name, namespace, { uid });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** Which of a deployment's sets is that of its present template (pure). */
export function sortSets(deployment: Deployment, sets: readonly ReplicaSet[]): RolloutSets {
  const sorted = sets.toSorted(
    (first, second) =>
      revisionOf(first) - revisionOf(second) ||
      (first.metadata.name < second.metadata.name ? -1 : 1),
  );
  const wanted = canonical(deployment.spec.template);
  const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount);
  // By hash first: the template that the server keeps may have more defaults than that of the deployment.
  const current =
    sorted.find((set) => set.metadata.labels?.[HASH_LABEL] === hash) ??
    sorted.find((set) => canonical(templateWithoutHash(set)) === wanted);
  return { current, old: sorted.filter((set) => set !== current) };
}

function templateWithoutHash(set: ReplicaSet): unknown {
  const { template } = set.spec;
  const { [HASH_LABEL]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels } };
}

/** The set of the present template (pure), as large as the limits allow beside the others. */
export function newSet(deployment: Deployment, { old }: RolloutSets): ReplicaSet {
  const { metadata, spec } = deployment;
  const hash = templateHash(spec.template, deployment.status?.collisionCount);
  const labels = { ...spec.template.metadata?.labels, [HASH_LABEL]: hash };
  const wanted = spec.replicas ?? 1;
  const room = rolloutLimits(deployment).most - sum(old, sizeOf);
  const isRecreating =
    spec.strategy?.type === 'Recreate' &&
    sum(old, (set) => sizeOf(set) + (set.status?.replicas ?? 0)) > 0;
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${metadata.name}-${hash}`,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels,
      annotations: setAnnotations(deployment, Math.max(0, ...old.map(revisionOf)) + 1),
      ownerReferences: [ownerReference(deployment)],
    },
    spec: {
      replicas: isRecreating ? 0 : Math.max(0, Math.min(wanted, room)),
      minReadySeconds: spec.minReadySeconds ?? 0,
      selector: {
        ...spec.selector,
        matchLabels: { ...spec.selector.matchLabels, [HASH_LABEL]: hash },
      },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
}

function setAnnotations(deployment: Deployment, revision: number): Record<string, string> {
  const copied = Object.entries(deployment.metadata.annotations ?? {}).filter(
    ([key]) => !NOT_COPIED.has(key),
  );
  return {
    ...Object.fromEntries(copied),
    [REVISION]: String(revision),
    [DESIRED_REPLICAS]: String(deployment.spec.replicas ?? 1),
    [MAX_REPLICAS]: String(rolloutLimits(deployment).most),
  };
}
