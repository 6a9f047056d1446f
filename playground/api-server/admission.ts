import type { UserInfo } from './authentication.ts';
import type { JsonObject } from './body.ts';
import { ApiError, forbidden } from './errors.ts';
import type { ApiRequest } from './exchange.ts';
import type { ServedKind } from './kinds.ts';
import type { StoredObject } from './object.ts';
import { namespaceOf, placeOf, type ResourceRequest } from './request-info.ts';
import {
  completePod,
  isMirrorPod,
  mirrorPodProblem,
  type ServiceAccountFields,
  serviceAccountNameOf,
} from './service-account-admission.ts';
import type { Place, Store } from './store.ts';

/** One change that somebody is allowed to make, before it is made. */
export interface Attempt {
  readonly request: ApiRequest;
  readonly info: ResourceRequest;
  readonly kind: ServedKind;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  /** As sent; undefined for patches and deletions. */
  readonly object: JsonObject | undefined;
  readonly dryRun: boolean;
}

/** Asked about every change: throws to refuse. `result` computes what would be stored. */
export interface Validator {
  validate(attempt: Attempt, result: () => StoredObject): Promise<void>;
}

/** Every namespace has one, made by a controller. */
const DEFAULT_ACCOUNT = 'default';
/** As long as a real API server waits for it. */
const ACCOUNT_WAIT_MS = 1_000;
const NODE_USER = 'system:node:';
const NODES_GROUP = 'system:nodes';

/** What happens between "may" and "does": pods are completed, nodes are kept to their own, webhooks are asked. */
export class Admission {
  readonly #store: Store;
  readonly #validators: readonly Validator[];

  constructor(store: Store, validators: readonly Validator[]) {
    this.#store = store;
    this.#validators = validators;
  }

  /** The object as it shall be created. @throws ApiError 403 */
  async mutate(attempt: Attempt & { readonly object: JsonObject }): Promise<JsonObject> {
    const { kind, info, object } = attempt;
    const isPod = kind.group === '' && kind.plural === 'pods' && info.subresource === '';
    if (!isPod) return object;
    if (!isMirrorPod(object)) return this.#completePod(attempt);
    const problem = mirrorPodProblem(object);
    if (problem !== undefined) throw forbidden(kind, nameOf(object), problem);
    return object;
  }

  /** @throws ApiError when the change must not be made */
  async validate(attempt: Attempt, result: () => StoredObject): Promise<void> {
    const node = nodeOf(attempt.request.user);
    if (node !== undefined) this.#restrictNode(node, attempt);
    for (const validator of this.#validators) await validator.validate(attempt, result);
  }

  async #completePod(attempt: Attempt & { readonly object: JsonObject }): Promise<JsonObject> {
    const { kind, info, object } = attempt;
    const name = serviceAccountNameOf(object);
    const accounts = this.#store.registry.find('', 'v1', 'serviceaccounts');
    if (accounts === undefined) return object;
    const place = { namespace: namespaceOf(info), name };
    if (name === DEFAULT_ACCOUNT) await this.#appearance(accounts, place, attempt.request.signal);
    try {
      return completePod(object, this.#store.get(accounts, place) as ServiceAccountFields);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 404) throw error;
      const where = `${info.namespace}/${name}`;
      throw forbidden(
        kind,
        nameOf(object),
        `error looking up service account ${where}: ${error.message.replace('serviceaccounts', 'serviceaccount')}`,
      );
    }
  }

  /** A new namespace gets its default account in a moment: who comes earlier with a pod waits for it. */
  async #appearance(kind: ServedKind, place: Place, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const selection = { namespace: place.namespace, fieldSelector: `metadata.name=${place.name}` };
    if (this.#store.list(kind, selection).items.length > 0) return;
    const watch = this.#store.watch(kind, selection, {
      event: ({ type }) => {
        if (type === 'ADDED') resolve();
      },
      end: () => resolve(),
    });
    const timer = setTimeout(resolve, ACCOUNT_WAIT_MS);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    clearTimeout(timer);
    watch.stop();
  }

  /** A node agent changes its own node, its own lease, and the pods that run on it. */
  #restrictNode(node: string, attempt: Attempt): void {
    const { kind, info, operation, object } = attempt;
    const name = info.name || nameOf(object);
    const refuse = (why: string): never => {
      throw forbidden(kind, name, `node "${node}" ${why}`);
    };
    if (kind.group === '' && kind.plural === 'nodes' && name !== node)
      refuse(`is not allowed to modify node "${name}"`);
    if (kind.group === 'coordination.k8s.io' && kind.plural === 'leases' && name !== node)
      refuse('can only access node lease with the same name as the requesting node');
    if (kind.group !== '' || kind.plural !== 'pods') return;
    if (operation === 'CREATE' && info.subresource === '') {
      if (object === undefined || !isMirrorPod(object)) refuse('can only create mirror pods');
      if ((object?.['spec'] as JsonObject | undefined)?.['nodeName'] !== node)
        refuse('can only create pods with spec.nodeName set to itself');
      return;
    }
    if (info.name === '') return;
    const pod = this.#store.get(kind, placeOf(info));
    if ((pod['spec'] as JsonObject | undefined)?.['nodeName'] !== node)
      refuse('can only change pods with spec.nodeName set to itself');
  }
}

/** The node that a user is the agent of. */
export function nodeOf(user: UserInfo): string | undefined {
  if (!user.groups.includes(NODES_GROUP) || !user.username.startsWith(NODE_USER)) return undefined;
  return user.username.slice(NODE_USER.length);
}

function nameOf(object: JsonObject | undefined): string {
  const metadata = object?.['metadata'] as JsonObject | undefined;
  const name = metadata?.['name'] ?? metadata?.['generateName'];
  return typeof name === 'string' ? name : '';
}
