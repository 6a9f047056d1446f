import type { Duplex } from 'node:stream';
import { labelRequirements, matchesLabels } from '#kube/selector.ts';
import type { Admission } from './admission.ts';
import type { JsonObject } from './body.ts';
import type { Status } from './errors.ts';
import { badRequest, conflict, methodNotAllowed, noSuchPath, tooManyRequests } from './errors.ts';
import { type Answer, type ApiRequest, objectAnswer } from './exchange.ts';
import { textAt } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { KubeletProxy } from './kubelet-proxy.ts';
import { namespaceOf, placeOf, type ResourceRequest } from './request-info.ts';
import { deleteOptions, writeOptions } from './request-options.ts';
import { readObject, readPatch } from './resources.ts';
import { patchFromScale, patchScale, scaleOf } from './scale.ts';
import type { Store } from './store.ts';
import { numberAt } from './table-fields.ts';
import type { TokenRequests } from './token-request.ts';

export interface SubresourcesOptions {
  readonly store: Store;
  readonly admission: Admission;
  readonly tokens: TokenRequests;
  readonly kubelets: KubeletProxy;
}

/** A connection whose HTTP is over: the socket, and what has come on it already. */
export interface UpgradedSocket {
  readonly socket: Duplex;
  readonly head: Buffer;
}

const UPGRADABLE = new Set(['exec', 'attach', 'portforward']);

/** The subresources that are more than a part of their object: pods' doors to their node, tokens, evictions. */
export class Subresources {
  readonly #options: SubresourcesOptions;

  constructor(options: SubresourcesOptions) {
    this.#options = options;
  }

  /** The answer; undefined when the request is about the object itself or a part of it. */
  async handle(
    request: ApiRequest,
    info: ResourceRequest,
    kind: ServedKind,
  ): Promise<Answer | undefined> {
    const { tokens, kubelets, store } = this.#options;
    switch (info.subresource) {
      case 'token':
        requireVerb(info, 'create');
        return tokens.create(request, info);
      case 'log':
        requireVerb(info, 'get');
        return kubelets.log(request, store.get(kind, placeOf(info)));
      case 'scale':
        return this.#scale(request, info, kind);
      case 'eviction':
        requireVerb(info, 'create');
        return this.#evict(request, info, kind);
      case 'binding':
        requireVerb(info, 'create');
        return this.#bind(request, info, kind);
      case 'exec':
      case 'attach':
      case 'portforward':
        throw badRequest('Upgrade request required');
      default:
        return undefined;
    }
  }

  /** Takes the socket over; an answer refuses. @throws ApiError */
  async upgrade(
    request: ApiRequest,
    info: ResourceRequest,
    upgraded: UpgradedSocket,
  ): Promise<Answer | undefined> {
    const { store, kubelets } = this.#options;
    const kind = store.registry.find(info.group, info.version, info.resource);
    if (kind === undefined || !UPGRADABLE.has(info.subresource))
      throw badRequest('this path cannot be upgraded: want exec, attach or portforward of a pod');
    const pod = store.get(kind, placeOf(info));
    await kubelets.connect(request, info, { pod, ...upgraded });
    return undefined;
  }

  async #scale(request: ApiRequest, info: ResourceRequest, kind: ServedKind): Promise<Answer> {
    const { store } = this.#options;
    const paths = kind.scale;
    if (paths === undefined) throw noSuchPath();
    const place = placeOf(info);
    const scale = scaleOf(paths, store.get(kind, place));
    if (info.verb === 'get') return objectAnswer(scale);
    if (info.verb !== 'update' && info.verb !== 'patch') throw methodNotAllowed();
    const wanted =
      info.verb === 'update'
        ? await readObject(request)
        : patchScale(scale, await readPatch(request, kind));
    const body = patchFromScale(paths, place.name, wanted);
    const options = { ...writeOptions(request), subresource: 'scale' };
    const { object } = store.patch(kind, place, { type: 'merge', body }, options);
    return objectAnswer(scaleOf(paths, object));
  }

  async #evict(request: ApiRequest, info: ResourceRequest, kind: ServedKind): Promise<Answer> {
    const { store, admission } = this.#options;
    const eviction = await readObject(request);
    const options = deleteOptions(request, (eviction['deleteOptions'] ?? {}) as JsonObject);
    const pod = store.get(kind, placeOf(info));
    this.#checkDisruption(info, pod.metadata.labels ?? {});
    const attempt = { request, info, kind, dryRun: options.dryRun, object: undefined };
    await admission.validate({ ...attempt, operation: 'DELETE' }, () => pod);
    store.delete(kind, placeOf(info), options);
    return objectAnswer(SUCCESS, 201);
  }

  /** A budget that allows no disruption now makes the evictor wait. */
  #checkDisruption(info: ResourceRequest, labels: Readonly<Record<string, string>>): void {
    const { store } = this.#options;
    const budgets = store.registry.find('policy', 'v1', 'poddisruptionbudgets');
    if (budgets === undefined) return;
    for (const budget of store.list(budgets, { namespace: namespaceOf(info) }).items) {
      const { spec, status } = budget as { spec?: JsonObject; status?: JsonObject };
      const selector = labelRequirements(spec?.['selector'] ?? {});
      if (!matchesLabels(selector, labels)) continue;
      const allowed = status?.['disruptionsAllowed'];
      if (typeof allowed === 'number' && allowed > 0) continue;
      const { name } = budget.metadata;
      const cause = {
        reason: 'DisruptionBudget',
        message: `The disruption budget ${name} needs ${numberAt(status, 'desiredHealthy')} healthy pods and has ${numberAt(status, 'currentHealthy')} currently`,
      };
      const why = "Cannot evict pod as it would violate the pod's disruption budget.";
      throw tooManyRequests(why, EVICTION_RETRY_SECONDS, [cause]);
    }
  }

  async #bind(request: ApiRequest, info: ResourceRequest, kind: ServedKind): Promise<Answer> {
    const { store } = this.#options;
    const binding = await readObject(request);
    const target = binding['target'] as JsonObject | undefined;
    const node = target?.['name'];
    if (typeof node !== 'string' || node === '')
      throw badRequest('target.name: Required value: the node that the pod is bound to');
    const place = placeOf(info);
    const bound = textAt(store.get(kind, place), 'spec', 'nodeName');
    if (bound !== '') {
      const why = `pod ${place.name} is already assigned to node ${JSON.stringify(bound)}`;
      throw conflict({ ...kind, plural: 'pods/binding' }, place.name, why);
    }
    const body = [{ op: 'add', path: '/spec/nodeName', value: node }];
    const options = { ...writeOptions(request), subresource: 'binding' };
    store.patch(kind, place, { type: 'json', body }, options);
    return objectAnswer(SUCCESS, 201);
  }
}

/** Budgets change when pods become ready: not within a second. */
const EVICTION_RETRY_SECONDS = 10;
const SUCCESS: Status = {
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  code: 201,
};

function requireVerb(info: ResourceRequest, verb: string): void {
  if (info.verb !== verb) throw methodNotAllowed();
}
