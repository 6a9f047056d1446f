import type { Clock } from '#common/clock.ts';
import { wrongPatch } from './conform.ts';
import { convertTo } from './convert.ts';
import { decodeObject } from './decode.ts';
import type { DeleteOptions } from './deletion.ts';
import { isReleased, planDelete } from './deletion.ts';
import {
  ApiError,
  alreadyExists,
  badRequest,
  conflict,
  createWhileTerminating,
  forbidden,
  invalid,
  invalidValue,
  notFound,
  tooLargeResourceVersion,
  tooOldResourceVersion,
} from './errors.ts';
import type { Selection } from './fields.ts';
import { selectorOf } from './fields.ts';
import { deepCopy, type JsonObject, shareWith, textAt } from './json.ts';
import type { KindRegistry, ServedKind } from './kinds.ts';
import {
  checkListOptions,
  continueTooOld,
  decodeContinue,
  readPage,
  readVersion,
} from './listing.ts';
import { applyTo, decodeConfig, track, trackingOf } from './managing.ts';
import { checkPlace, checkPreconditions, generateName } from './metadata.ts';
import { NodePorts } from './node-ports.ts';
import type { ApiObject, StoredObject } from './object.ts';
import { apiVersionOf } from './object.ts';
import type { PatchType } from './patch/patch.ts';
import { applyPatch } from './patch/patch.ts';
import type { PipelineContext } from './pipeline.ts';
import { completeNew, completeUpdate } from './pipeline.ts';
import { ServiceAddresses } from './service-addresses.ts';
import { partOf } from './strategy.ts';
import type { Change, Snapshot } from './watch-cache.ts';
import { WatchCache } from './watch-cache.ts';
import type { WatchSink } from './watching.ts';
import { Watch } from './watching.ts';

/** Who writes, and how strictly. */
export interface WriteOptions {
  readonly user: string;
  /** Do everything but the writing. */
  readonly dryRun: boolean;
  /** The name under which metadata.managedFields remembers what was written. */
  readonly fieldManager: string;
  readonly fieldValidation: 'Ignore' | 'Warn' | 'Strict';
  /** Takes the texts of the answer's Warning headers. */
  warn(text: string): void;
}

/** Which object: without a namespace for kinds that have none. */
export interface Place {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** "status", "scale" and so on; undefined for the object itself. */
export interface SubresourceOption {
  readonly subresource?: string | undefined;
}

export interface PatchOptions extends WriteOptions, SubresourceOption {
  /** Server-side apply: take the fields of others over. */
  readonly force?: boolean | undefined;
  /** Server-side apply, when there is nothing yet: what is to be created, with more than its author manages. */
  readonly completed?: JsonObject;
}

export interface WriteResult {
  readonly object: StoredObject;
  /** Whether the object is new, which changes the answer from 200 to 201. */
  readonly created: boolean;
}

export interface DeleteResult {
  /** The object as it was last, or as it is now that it waits for its end. */
  readonly object: StoredObject;
  readonly removed: boolean;
}

export interface ListOptions extends Selection {
  readonly limit?: number | undefined;
  readonly continueToken?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
}

export interface ObjectList {
  readonly items: readonly StoredObject[];
  readonly resourceVersion: string;
  readonly continueToken?: string;
  readonly remainingItemCount?: number;
}

export interface WatchOptions extends Selection {
  readonly resourceVersion?: string | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly allowBookmarks?: boolean | undefined;
}

/** How the parts of a write are asked for. */
interface InnerOptions extends WriteOptions, SubresourceOption {
  /** Server-side apply has noted already who manages what. */
  readonly applied: boolean;
  /** The object is what a patch has made. */
  readonly patched?: boolean;
}

// As often as the real server does. It keeps idle watchers resumable, and costs one small event each.
const BOOKMARK_INTERVAL_MS = 60_000;

// Without these a cluster is none: the reference's admission keeps them, too.
const LASTING_NAMESPACES = new Set(['default', 'kube-system', 'kube-public']);

// As the reference keeps them.
const EVENT_AGE_MAX_MS = 60 * 60_000;
// One that goes on happening stays among the oldest: those behind it are to be reached all the same.
const EVENTS_LOOKED_AT = 16;

// A patch is tried again when its object changed under it; nothing changes under a synchronous one,
// so this only bounds what cannot happen.
const GENERATED_NAME_TRIES_MAX = 8;

/**
 * All objects of the cluster, in memory. Every call is synchronous and done when it returns, watchers
 * included. What it hands out is shared and must not be changed. It throws ApiErrors.
 */
export class Store {
  readonly registry: KindRegistry;
  readonly #clock: Clock;
  readonly #caches = new Map<string, WatchCache>();
  readonly #watches = new Set<Watch>();
  readonly #addresses = new ServiceAddresses();
  readonly #nodePorts = new NodePorts();
  #bookmarkTimer: Disposable | undefined;
  readonly #firstVersion: number;
  #version: number;

  /** `firstVersion`: where resourceVersions start; ones of an earlier run should lie below. */
  constructor(registry: KindRegistry, clock: Clock, firstVersion = 1) {
    this.registry = registry;
    this.#clock = clock;
    this.#firstVersion = firstVersion;
    this.#version = firstVersion;
    const services = registry.find('', 'v1', 'services');
    if (services === undefined) return;
    this.observe(services, ({ key, type, object, before }) => {
      const after = type === 'DELETED' ? undefined : object;
      this.#addresses.track(key, after, before);
      this.#nodePorts.track(key, after, before);
    });
  }

  /** The number of the latest change. */
  get version(): number {
    return this.#version;
  }

  /** `resourceVersion`: one that has to have been reached. */
  get(kind: ServedKind, place: Place, resourceVersion?: string): StoredObject {
    this.#checkReached(resourceVersion);
    return convertTo(this.#existing(kind, place), kind);
  }

  list(kind: ServedKind, options: ListOptions = {}): ObjectList {
    checkListOptions(options);
    const selector = selectorOf(kind, options);
    const { snapshot, version, startAfter } = this.#snapshot(kind, options);
    const limit = options.limit ?? 0;
    const { items, ...more } = readPage(snapshot, selector, { limit, version, startAfter });
    return {
      items: items.map((object) => convertTo(object, kind)),
      resourceVersion: String(version),
      ...more,
    };
  }

  create(
    kind: ServedKind,
    namespace: string | undefined,
    body: unknown,
    options: WriteOptions,
  ): StoredObject {
    const object = decodeObject(kind, body);
    checkPlace(kind, object, { namespace });
    if (object.metadata.resourceVersion) {
      // No status of its own, and no reason: so it is in the reference.
      throw new ApiError(500, '', 'resourceVersion should not be set on objects to be created');
    }
    delete object.metadata.managedFields;
    return this.#insert(kind, namespace, object, { ...options, applied: false });
  }

  update(
    kind: ServedKind,
    place: Place,
    body: unknown,
    options: WriteOptions & SubresourceOption,
  ): WriteResult {
    const object = decodeObject(kind, body);
    checkPlace(kind, object, place);
    if (!object.metadata.name) {
      const why = `the name of the object (${place.name} based on URL) was undeterminable: name must be provided`;
      throw badRequest(why);
    }
    const current = convertTo(this.#existing(kind, place), kind);
    checkPreconditions(kind, object, current);
    return this.#replace(kind, current, object, { ...options, applied: false });
  }

  patch(
    kind: ServedKind,
    place: Place,
    patch: { readonly type: PatchType; readonly body: unknown },
    options: PatchOptions,
  ): WriteResult {
    if (patch.type === 'apply') return this.#apply(kind, place, patch.body, options);
    const { type, body } = patch;
    const current = convertTo(this.#existing(kind, place), kind);
    const patched = applyPatch(kind, current, { type, body });
    const object = decodePatched(kind, patched);
    checkPlace(kind, object, place);
    const { uid } = object.metadata;
    if (uid && uid !== current.metadata.uid) {
      const problem = invalidValue('metadata.uid', uid, 'field is immutable');
      throw invalid(kind, place.name, [problem]);
    }
    checkPreconditions(kind, object, current);
    return this.#replace(kind, current, object, { ...options, applied: false, patched: true });
  }

  delete(kind: ServedKind, place: Place, options: DeleteOptions = {}): DeleteResult {
    const current = this.#existing(kind, place);
    const { name } = place;
    if (kind.storageKey === 'namespaces' && LASTING_NAMESPACES.has(name)) {
      throw forbidden(kind, name, 'this namespace may not be deleted');
    }
    const { uid, resourceVersion } = options.preconditions ?? {};
    if (uid !== undefined && uid !== current.metadata.uid) {
      const why = `the UID in the precondition (${uid}) does not match the UID in record (${current.metadata.uid}). The object might have been deleted and then recreated`;
      throw conflict({ ...kind, plural: kind.kind }, name, why);
    }
    if (resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion) {
      const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${current.metadata.resourceVersion}). The object might have been modified`;
      throw conflict({ ...kind, plural: kind.kind }, name, why);
    }
    const plan = planDelete(kind, current, options, this.#clock.now());
    if (plan.kind === 'unchanged') return { object: convertTo(current, kind), removed: false };
    const dryRun = options.dryRun ?? false;
    const object =
      plan.kind === 'remove'
        ? this.#remove(kind, current, dryRun)
        : this.#commit(kind, 'MODIFIED', { object: plan.object, before: current, dryRun });
    return { object: convertTo(object, kind), removed: plan.kind === 'remove' };
  }

  /** Deletes every selected object; those that cannot be found any more are left out. */
  deleteCollection(
    kind: ServedKind,
    selection: ListOptions,
    options: DeleteOptions = {},
  ): readonly DeleteResult[] {
    const { items } = this.list(kind, selection);
    return items
      .filter(({ metadata }) => this.#cache(kind).get(keyOf(metadata.namespace, metadata.name)))
      .map(({ metadata }) => this.delete(kind, metadata, options));
  }

  watch(kind: ServedKind, options: WatchOptions, sink: WatchSink): { stop(): void } {
    const selector = selectorOf(kind, options);
    const allowBookmarks = options.allowBookmarks ?? false;
    const present = (object: StoredObject): StoredObject => convertTo(object, kind);
    const watched = { apiVersion: apiVersionOf(kind), kind: kind.kind, present };
    const watch = new Watch(this.#cache(kind), selector, { kind: watched, sink, allowBookmarks });
    const from = {
      version: readVersion(options.resourceVersion),
      sendInitialEvents: options.sendInitialEvents ?? false,
      allowBookmarks,
    };
    this.#watches.add(watch);
    watch.start(from, this.#version);
    this.#armBookmarks();
    return {
      stop: () => {
        watch.stop();
        this.#watches.delete(watch);
      },
    };
  }

  /** Calls `listener` for every change of a kind's objects, as they are stored. */
  observe(kind: ServedKind, listener: (change: Change) => void): void {
    this.#cache(kind).listen(listener);
  }

  #apply(kind: ServedKind, place: Place, body: unknown, options: PatchOptions): WriteResult {
    const config = decodeConfig(kind, place, body, options);
    const stored = this.#cache(kind).get(keyOf(config.metadata.namespace, place.name));
    if (stored === undefined && partOf(options.subresource) !== 'object')
      throw notFound(kind, place.name);
    const current = stored === undefined ? undefined : convertTo(stored, kind);
    if (current !== undefined) checkPreconditions(kind, config, current);
    const tracking = trackingOf(kind, 'Apply', options, this.#clock.now());
    const request = { ...tracking, force: options.force ?? false };
    const object = applyTo(kind, current, config, request);
    if (current !== undefined) {
      return this.#replace(kind, current, object, { ...options, applied: true });
    }
    const write = { ...options, applied: true };
    const whole = options.completed === undefined ? object : filled(object, options.completed);
    return { object: this.#insert(kind, place.namespace, whole, write), created: true };
  }

  #insert(
    kind: ServedKind,
    namespace: string | undefined,
    object: ApiObject,
    options: InnerOptions,
  ): StoredObject {
    if (kind.terminating === true) throw createWhileTerminating(kind);
    if (kind.storageKey === 'events' && !options.dryRun) this.#expireEvents(kind);
    this.#checkNamespace(kind, namespace, object.metadata.name ?? '');
    const { generateName: prefix } = object.metadata;
    if (!object.metadata.name && prefix)
      object.metadata.name = this.#freeName(kind, namespace, prefix);
    completeNew(kind, object, { ...options, namespace }, this.#context());
    const { name } = object.metadata;
    if (this.#cache(kind).get(keyOf(object.metadata.namespace, name)) !== undefined) {
      throw alreadyExists(kind, name);
    }
    if (!options.applied) {
      track(kind, undefined, object, trackingOf(kind, 'Update', options, this.#clock.now()));
    }
    const stored = this.#commit(kind, 'ADDED', {
      object: this.#cache(kind).sharing(convertTo(object, this.registry.storedAs(kind))),
      before: undefined,
      dryRun: options.dryRun,
    });
    return convertTo(stored, kind);
  }

  #replace(
    kind: ServedKind,
    current: StoredObject,
    object: ApiObject,
    options: InnerOptions,
  ): WriteResult {
    const part = partOf(options.subresource);
    completeUpdate(kind, object, { ...options, current, part }, this.#context());
    if (!options.applied) {
      track(kind, current, object, trackingOf(kind, 'Update', options, this.#clock.now()));
    }
    const next = shareWith(object, current);
    if (next === current) return { object: current, created: false };
    const storedKind = this.registry.storedAs(kind);
    const before = this.#existing(kind, current.metadata);
    const write = {
      object: this.#cache(kind).sharing(convertTo(next, storedKind)),
      before,
      dryRun: options.dryRun,
    };
    if (isReleased(kind, next)) {
      return {
        object: convertTo(this.#remove(kind, write.object, options.dryRun), kind),
        created: false,
      };
    }
    return { object: convertTo(this.#commit(kind, 'MODIFIED', write), kind), created: false };
  }

  /** Takes the oldest events away. As each new one does this, a few looks are enough. */
  #expireEvents(kind: ServedKind): void {
    const limitMs = this.#clock.now() - EVENT_AGE_MAX_MS;
    const oldest = this.#cache(kind).values().take(EVENTS_LOOKED_AT);
    for (const event of oldest.toArray()) {
      const last = textAt(event, 'lastTimestamp') || textAt(event, 'metadata', 'creationTimestamp');
      if (Date.parse(last) < limitMs) this.#remove(kind, event, false);
    }
  }

  #context(): PipelineContext {
    const [addresses, nodePorts] = [this.#addresses, this.#nodePorts];
    return { addresses, nodePorts, nowMs: this.#clock.now() };
  }

  #remove(kind: ServedKind, object: StoredObject, dryRun: boolean): StoredObject {
    const before = this.#existing(kind, object.metadata);
    return this.#commit(kind, 'DELETED', { object, before, dryRun });
  }

  #commit(
    kind: ServedKind,
    type: Change['type'],
    write: {
      readonly object: StoredObject;
      readonly before: StoredObject | undefined;
      readonly dryRun: boolean;
    },
  ): StoredObject {
    if (write.dryRun) return type === 'ADDED' ? withoutVersion(write.object) : write.object;
    this.#version += 1;
    const version = this.#version;
    const metadata = { ...write.object.metadata, resourceVersion: String(version) };
    const object = { ...write.object, metadata };
    const key = keyOf(metadata.namespace, metadata.name);
    const { before } = write;
    this.#cache(kind).apply({ version, type, key, object, before, atMs: this.#clock.now() });
    return object;
  }

  #cache(kind: ServedKind): WatchCache {
    const known = this.#caches.get(kind.storageKey);
    if (known !== undefined) return known;
    const cache = new WatchCache(this.#firstVersion);
    this.#caches.set(kind.storageKey, cache);
    return cache;
  }

  #existing(kind: ServedKind, { namespace, name }: Place): StoredObject {
    const object = this.#cache(kind).get(keyOf(kind.namespaced ? namespace : undefined, name));
    if (object === undefined) throw notFound(kind, name);
    return object;
  }

  #freeName(kind: ServedKind, namespace: string | undefined, prefix: string): string {
    for (let tries = 0; ; tries += 1) {
      const name = generateName(prefix);
      const taken = this.#cache(kind).get(keyOf(namespace, name)) !== undefined;
      if (!taken || tries === GENERATED_NAME_TRIES_MAX) return name;
    }
  }

  #checkNamespace(kind: ServedKind, namespace: string | undefined, name: string): void {
    if (!kind.namespaced) return;
    if (!namespace) throw badRequest('an empty namespace may not be set during creation');
    const namespaces = this.registry.find('', 'v1', 'namespaces');
    if (namespaces === undefined) return;
    const found = this.#existing(namespaces, { name: namespace });
    if (textAt(found, 'status', 'phase') !== 'Terminating') return;
    const reason = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const message = `namespace ${namespace} is being terminated`;
    const cause = { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' };
    throw forbidden(kind, name, reason, [cause]);
  }

  #snapshot(
    kind: ServedKind,
    options: ListOptions,
  ): { snapshot: Snapshot; version: number; startAfter: string } {
    const cache = this.#cache(kind);
    if (options.continueToken) {
      const point = decodeContinue(options.continueToken);
      const version = point.version === -1 ? this.#version : point.version;
      const snapshot = cache.asOf(version);
      if (snapshot === undefined) throw continueTooOld(point);
      return { snapshot, version, startAfter: point.startAfter };
    }
    const asked = this.#checkReached(options.resourceVersion);
    const match = options.resourceVersionMatch ?? '';
    const exact = match === 'Exact' || (match === '' && asked > 0 && (options.limit ?? 0) > 0);
    if (!exact) return { snapshot: cache.current(), version: this.#version, startAfter: '' };
    const snapshot = cache.asOf(asked);
    if (snapshot === undefined) throw tooOldResourceVersion(asked, cache.oldestVersion);
    return { snapshot, version: asked, startAfter: '' };
  }

  #checkReached(resourceVersion: string | undefined): number {
    const asked = readVersion(resourceVersion) ?? 0;
    if (asked > this.#version) throw tooLargeResourceVersion(asked, this.#version);
    return asked;
  }

  #armBookmarks(): void {
    if (this.#bookmarkTimer !== undefined) return;
    this.#bookmarkTimer = this.#clock.setTimer(BOOKMARK_INTERVAL_MS, () => {
      this.#bookmarkTimer = undefined;
      for (const watch of this.#watches) {
        if (watch.stopped) this.#watches.delete(watch);
        else watch.bookmark(this.#version);
      }
      if (this.#watches.size > 0) this.#armBookmarks();
    });
  }
}

/** What a patch has made, if that is still an object of its kind. */
function decodePatched(kind: ServedKind, patched: unknown): ApiObject {
  try {
    return decodeObject(kind, patched);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw wrongPatch(patched, error.message);
  }
}

/** As a dry run of a creation answers: there is no version of what is not stored. */
function withoutVersion(object: StoredObject): StoredObject {
  const { resourceVersion: _none, ...metadata } = object.metadata;
  return { ...object, metadata: metadata as StoredObject['metadata'] };
}

/** An applied object with the fields of what admission made of it; who manages what stays as it is. */
function filled(object: ApiObject, completed: JsonObject): ApiObject {
  const { apiVersion, kind, metadata } = object;
  const { status: _status, ...fields } = deepCopy(completed);
  return { ...object, ...fields, apiVersion, kind, metadata };
}

/** Where an object lies among the others of its kind: their order in lists. */
function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
