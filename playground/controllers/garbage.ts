import { isNotFound } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import {
  apiVersionOf,
  type KubeObject,
  namespacedName,
  type OwnerReference,
  type ResourceKind,
} from '#kube/resources.ts';

import { kindKey, kindOfReference, type ServedApiKind, servedKinds } from './api-kinds.ts';
import { type ControllerContext, NotYet, Reconciler } from './controller.ts';
import { removalOfOwners } from './ownership.ts';
import {
  FOREGROUND,
  isOrphaning,
  isWaitingForDependents,
  ORPHAN,
  type OwnerState,
  OwnershipGraph,
  ownersOf,
  planDependent,
} from './ownership-graph.ts';
import { onlyMetadata, type Watched } from './watched.ts';

// A definition is served a moment after it is stored.
const RELOAD_DELAY_MS = 200;
const RELOAD = 'reload';

interface WatchedKind {
  readonly kind: ServedApiKind;
  readonly informer: Informer<KubeObject>;
  /** Ends our interest in it. */
  readonly end: () => void;
}

/**
 * Deletes what is owned by nobody any more, and carries out deletions that wait for dependents or leave
 * them behind. Watches every kind that the server serves, but only who owns what.
 */
export class GarbageCollector extends Reconciler {
  readonly #context: ControllerContext;
  readonly #graph = new OwnershipGraph();
  readonly #informers = new Map<string, WatchedKind>();
  /** Uids of what has an owner of a kind that was not watched when it was looked at. */
  readonly #undecided = new Set<string>();
  readonly #detach: (() => void)[] = [];

  constructor(context: ControllerContext) {
    super(context, 'garbage', (key) => (key === RELOAD ? this.#reload() : this.#reconcile(key)));
    this.#context = context;
    const later = (): void => this.addAfter(RELOAD, RELOAD_DELAY_MS);
    const { definitions } = context.watched;
    this.#detach.push(definitions.on({ added: later, changed: later, removed: later }));
    this.add(RELOAD);
  }

  override stop(): void {
    for (const detach of this.#detach) detach();
    for (const { end } of this.#informers.values()) end();
    super.stop();
  }

  /** Watches the kinds that are served now, and no others. */
  async #reload(): Promise<void> {
    const kinds = (await servedKinds(this.#context.client)).filter(isCollected);
    const served = new Set(kinds.map(kindKey));
    for (const [key, { informer, end }] of this.#informers) {
      if (served.has(key)) continue;
      end();
      this.#informers.delete(key);
      for (const object of informer.list()) this.#forget(object);
    }
    for (const kind of kinds) {
      if (!this.#informers.has(kindKey(kind))) this.#watch(kind);
    }
  }

  #watch(kind: ServedApiKind): void {
    const { client, clock, log, watched } = this.#context;
    // What is watched anyway is not watched twice.
    const shared = sharedInformer(watched, kind);
    const informer = shared ?? new Informer(client, kind, { clock, log, transform: onlyMetadata });
    const keep = (object: KubeObject): void => {
      this.#graph.put(object);
      if (isConcerned(object)) this.add(object.metadata.uid ?? '');
      // Waited for, and now no longer in the way.
      this.#addOwners(object);
    };
    const forget = (object: KubeObject): void => this.#forget(object);
    const entry = { kind, informer, end: () => informer.stop() };
    // Handlers are told at once of what is there, and ask for its kind.
    this.#informers.set(kindKey(kind), entry);
    const detach = informer.on({ added: keep, changed: keep, removed: forget });
    if (shared === undefined) informer.start();
    else entry.end = detach;
    // An owner of this kind may have gone before it was watched: nothing else would tell.
    void informer.synced.then(() => this.#lookAgain());
  }

  #forget(object: KubeObject): void {
    const { uid = '' } = object.metadata;
    this.#graph.remove(uid);
    this.#undecided.delete(uid);
    for (const dependent of this.#graph.dependentsOf(uid)) this.add(dependent.metadata.uid ?? '');
    this.#addOwners(object);
  }

  #lookAgain(): void {
    const uids = [...this.#undecided];
    this.#undecided.clear();
    for (const uid of uids) this.add(uid);
  }

  #addOwners(object: KubeObject): void {
    for (const { uid } of ownersOf(object)) {
      const owner = this.#graph.get(uid);
      if (owner !== undefined && isWaitingForDependents(owner)) this.add(uid);
    }
  }

  async #reconcile(uid: string): Promise<void> {
    const object = this.#graph.get(uid);
    if (object === undefined) return;
    if (isOrphaning(object)) await this.#orphan(object);
    else if (isWaitingForDependents(object)) await this.#finishForeground(object);
    else await this.#collect(object);
  }

  /** Takes the owner off everything that it owns, then lets it go. */
  async #orphan(owner: KubeObject): Promise<void> {
    const { uid = '' } = owner.metadata;
    for (const dependent of this.#graph.dependentsOf(uid)) {
      await this.#patch(dependent, removalOfOwners(dependent, new Set([uid])));
    }
    await this.#dropFinalizer(owner, ORPHAN);
  }

  async #finishForeground(owner: KubeObject): Promise<void> {
    const { uid = '' } = owner.metadata;
    for (const dependent of this.#graph.dependentsOf(uid)) this.add(dependent.metadata.uid ?? '');
    if (this.#graph.blockersOf(uid).length > 0) return;
    await this.#dropFinalizer(owner, FOREGROUND);
  }

  async #collect(object: KubeObject): Promise<void> {
    if (!this.#isSynced()) throw new NotYet('Not all kinds have been listed');
    const states = new Map<string, OwnerState>();
    for (const owner of ownersOf(object)) states.set(owner.uid, await this.#stateOf(object, owner));
    const { uid = '' } = object.metadata;
    if ([...states.values()].includes('unknown')) this.#undecided.add(uid);
    const hasDependents = this.#graph.dependentsOf(uid).length > 0;
    const plan = planDependent(
      object,
      (owner) => states.get(owner.uid) ?? 'unknown',
      hasDependents,
    );
    if (plan.kind === 'drop-owners') {
      await this.#patch(object, removalOfOwners(object, plan.uids));
    } else if (plan.kind === 'delete') {
      await this.#delete(object, plan.policy);
    }
  }

  /** What we have not seen is asked for: nothing is deleted because of a watch that lags behind. */
  async #stateOf(object: KubeObject, reference: OwnerReference): Promise<OwnerState> {
    const owner = this.#graph.get(reference.uid) ?? (await this.#fetchOwner(object, reference));
    if (owner === 'unknown') return owner;
    if (owner === undefined || owner.metadata.uid !== reference.uid) return 'absent';
    const isWaitedFor = isWaitingForDependents(owner) && reference.blockOwnerDeletion === true;
    return isWaitedFor ? 'waiting' : 'present';
  }

  async #fetchOwner(
    object: KubeObject,
    reference: OwnerReference,
  ): Promise<KubeObject | undefined | 'unknown'> {
    const kinds = Array.from(this.#informers.values(), ({ kind }) => kind);
    const kind = kindOfReference(kinds, reference);
    if (kind === undefined) return 'unknown';
    const namespace = kind.namespaced ? object.metadata.namespace : undefined;
    // Something outside of all namespaces cannot be owned by something inside of one.
    if (kind.namespaced && namespace === undefined) return 'unknown';
    try {
      return await this.#context.client.get(kind, reference.name, namespace);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #delete(
    object: KubeObject,
    propagationPolicy: 'Foreground' | 'Background' | 'Orphan',
  ): Promise<void> {
    const { name, namespace, uid = '' } = object.metadata;
    const options = { propagationPolicy, uid };
    await ignoreNotFound(
      this.#context.client.delete(this.#kindOf(object), name, namespace, options),
    );
  }

  async #dropFinalizer(object: KubeObject, finalizer: string): Promise<void> {
    const { uid, resourceVersion, finalizers = [] } = object.metadata;
    const kept = finalizers.filter((each) => each !== finalizer);
    await this.#patch(object, { metadata: { uid, resourceVersion, finalizers: kept } });
  }

  async #patch(object: KubeObject, patch: unknown): Promise<void> {
    const { name, namespace } = object.metadata;
    const { client } = this.#context;
    const patched = client.patch(this.#kindOf(object), name, namespace, patch, { type: 'merge' });
    await ignoreNotFound(patched);
  }

  #kindOf(object: KubeObject): ResourceKind {
    for (const { kind } of this.#informers.values()) {
      if (kind.kind === object.kind && apiVersionOf(kind) === object.apiVersion) return kind;
    }
    throw new NotYet(
      `${object.kind} ${namespacedName(object.metadata)} is of a kind that is not served`,
    );
  }

  #isSynced(): boolean {
    return Array.from(this.#informers.values()).every(({ informer }) => informer.isSynced);
  }
}

function sharedInformer(watched: Watched, kind: ServedApiKind): Informer<KubeObject> | undefined {
  const informers: readonly Informer<KubeObject>[] = Object.values(watched);
  return informers.find((informer) => kindKey(informer.kind) === kindKey(kind));
}

/** Events are about objects, not owned by them, and there are many. */
function isCollected({ kind, verbs }: ServedApiKind): boolean {
  return kind !== 'Event' && verbs.has('list') && verbs.has('watch') && verbs.has('delete');
}

function isConcerned(object: KubeObject): boolean {
  return ownersOf(object).length > 0 || isOrphaning(object) || isWaitingForDependents(object);
}

async function ignoreNotFound(done: Promise<unknown>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
