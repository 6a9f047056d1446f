import { parseFieldSelector } from '#kube/selector.ts';

import type { Authenticator, UserInfo } from './authentication.ts';
import { type Attributes, forbiddenText, type RbacPolicy } from './authorization.ts';
import { reviewKinds } from './discovery.ts';
import {
  ApiError,
  badRequest,
  forbidden,
  methodNotAllowed,
  noSuchPath,
  notAcceptable,
  unauthorized,
} from './errors.ts';
import type { Answer, ApiRequest } from './exchange.ts';
import { effectiveUser } from './impersonation.ts';
import type { KindRegistry, ServedKind } from './kinds.ts';
import { chooseForm, JSON_TYPE, YAML_TYPE } from './negotiation.ts';
import type { Paths } from './paths.ts';
import { type RequestInfo, type ResourceRequest, readRequestInfo } from './request-info.ts';
import type { Resources } from './resources.ts';
import type { Reviews } from './reviews.ts';
import type { Handlers, RawRequest, UpgradeRequest } from './server.ts';
import type { Subresources } from './subresources.ts';

export interface RoutesOptions {
  readonly registry: KindRegistry;
  readonly authenticator: Authenticator;
  readonly policy: RbacPolicy;
  readonly resources: Resources;
  readonly subresources: Subresources;
  readonly reviews: Reviews;
  readonly paths: Paths;
}

/** Every request in the same order: who, what, as whom, may they, then the part that answers. */
export class Routes implements Handlers {
  readonly #options: RoutesOptions;

  constructor(options: RoutesOptions) {
    this.#options = options;
  }

  async request(raw: RawRequest): Promise<Answer> {
    const request = this.#admit(raw);
    const { info } = request;
    return info.kind === 'path'
      ? this.#options.paths.handle(request)
      : this.#resource(request, info);
  }

  async upgrade({ request: raw, socket, head }: UpgradeRequest): Promise<Answer | undefined> {
    const request = this.#admit(raw);
    const { info } = request;
    if (info.kind === 'path') throw noSuchPath();
    this.#servedKind(info);
    return this.#options.subresources.upgrade(request, info, { socket, head });
  }

  /** The request with its user. @throws ApiError 400, 401, 403 */
  #admit(raw: RawRequest): ApiRequest {
    const { authenticator, policy } = this.#options;
    const [path, search] = splitOnce(raw.url, '?');
    const query = new URLSearchParams(search);
    const authentication = authenticator.authenticate(raw.proof);
    if (authentication.kind === 'refused') throw unauthorized();
    const info = readRequestInfo(raw.method, path, query);
    if (info === undefined) throw badRequest(`the path ${JSON.stringify(path)} cannot be decoded`);
    const user = effectiveUser(authentication.user, raw.headers, policy);
    this.#authorize(user, info, query);
    const { method, headers, signal } = raw;
    return {
      method,
      path,
      query,
      headers,
      info,
      user,
      signal,
      body: () => raw.body(),
      warn: (text) => raw.warn(text),
    };
  }

  #authorize(user: UserInfo, info: RequestInfo, query: URLSearchParams): void {
    const attributes: Attributes =
      info.kind === 'path'
        ? { user, verb: info.verb, path: info.path }
        : { user, ...attributesOf(info, query) };
    const decision = this.#options.policy.authorize(attributes);
    if (decision.allowed) return;
    const why = forbiddenText(attributes, decision.reason);
    if (info.kind === 'path')
      throw new ApiError(403, 'Forbidden', `forbidden: ${why}`, { details: {} });
    const { group, resource, name } = info;
    throw forbidden({ group, plural: resource, kind: resource }, name, why);
  }

  async #resource(request: ApiRequest, info: ResourceRequest): Promise<Answer> {
    const { reviews, subresources, resources } = this.#options;
    const review = reviewKinds.find(
      (each) =>
        each.group === info.group && each.version === info.version && each.plural === info.resource,
    );
    if (review !== undefined) {
      if (review.namespaced !== (info.namespace !== '')) throw noSuchPath();
      if (info.verb !== 'create' || info.name !== '') throw methodNotAllowed();
      return reviews.create(review.kind, request, info);
    }
    const kind = this.#servedKind(info);
    const own = await subresources.handle(request, info, kind);
    if (own !== undefined) return own;
    const form = chooseForm(request.headers.accept);
    if (form === undefined) throw notAcceptable([JSON_TYPE, YAML_TYPE]);
    return resources.handle({ request, info, kind, form });
  }

  /** @throws ApiError 404 when nothing is served at the path */
  #servedKind(info: ResourceRequest): ServedKind {
    const { group, version, resource, namespace, name, subresource, rest } = info;
    const kind = this.#options.registry.find(group, version, resource);
    if (kind === undefined) throw noSuchPath();
    const isNamespace = group === '' && resource === 'namespaces';
    if (!kind.namespaced && namespace !== '' && !isNamespace) throw noSuchPath();
    if (kind.namespaced && namespace === '' && name !== '') throw noSuchPath();
    if (subresource !== '' && !kind.subresources.includes(subresource)) throw noSuchPath();
    if (rest !== '' && subresource !== 'proxy') throw noSuchPath();
    return kind;
  }
}

function attributesOf(info: ResourceRequest, query: URLSearchParams): Omit<Attributes, 'user'> {
  const { verb, group, resource, subresource, namespace } = info;
  const name = info.name === '' ? selectedName(query) : info.name;
  return { verb, group, resource, subresource, name, namespace };
}

/** Who selects one object of a collection by its name needs to be allowed only this one; '' when nobody does. */
function selectedName(query: URLSearchParams): string {
  const parsed = parseFieldSelector(query.get('fieldSelector') ?? '');
  const terms = parsed.kind === 'terms' ? parsed.terms : [];
  return terms.find(({ path, equal }) => path === 'metadata.name' && equal)?.value ?? '';
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + 1)];
}
