import type { Authenticator, UserInfo } from './authentication.ts';
import type { Attributes, PolicyRule, RbacPolicy } from './authorization.ts';
import type { JsonObject } from './body.ts';
import { badRequest } from './errors.ts';
import { type Answer, type ApiRequest, objectAnswer } from './exchange.ts';
import type { ResourceRequest } from './request-info.ts';
import { readObject } from './resources.ts';

export interface ReviewsOptions {
  readonly authenticator: Authenticator;
  readonly policy: RbacPolicy;
}

/** Questions about users, asked by creating an object that is never kept: who is it, may it, what may it. */
export class Reviews {
  readonly #options: ReviewsOptions;

  constructor(options: ReviewsOptions) {
    this.#options = options;
  }

  /** @throws ApiError 400 */
  async create(kind: string, request: ApiRequest, info: ResourceRequest): Promise<Answer> {
    const review = await readObject(request);
    const apiVersion = `${info.group}/${info.version}`;
    checkKind(review, apiVersion, kind);
    const spec = fieldsOf(review['spec']);
    const status = this.#status(kind, spec, request.user, info);
    const metadata = { creationTimestamp: null, ...fieldsOf(review['metadata']) };
    return objectAnswer({ kind, apiVersion, metadata, spec, status }, 201);
  }

  #status(kind: string, spec: JsonObject, user: UserInfo, info: ResourceRequest): unknown {
    switch (kind) {
      case 'TokenReview':
        return this.#tokenReview(spec);
      case 'SelfSubjectReview':
        return { userInfo: userInfo(user) };
      case 'SelfSubjectRulesReview':
        return this.#rulesReview(spec, user);
      case 'SelfSubjectAccessReview':
        return this.#accessReview(attributesOf(spec, user, undefined));
      case 'LocalSubjectAccessReview':
        return this.#accessReview(attributesOf(spec, subjectOf(spec), info.namespace));
      default:
        return this.#accessReview(attributesOf(spec, subjectOf(spec), undefined));
    }
  }

  #tokenReview(spec: JsonObject): unknown {
    const { token } = spec;
    if (typeof token !== 'string' || token === '')
      throw badRequest('token is required for TokenReview in authentication');
    const result = this.#options.authenticator.authenticateToken(token, textsOf(spec['audiences']));
    if (result.kind === 'refused')
      return { user: {}, error: `[invalid bearer token, ${result.reason}]` };
    const { user, audiences } = result;
    return { authenticated: true, user: userInfo(user), audiences };
  }

  #accessReview(attributes: Attributes): unknown {
    const { allowed, reason } = this.#options.policy.authorize(attributes);
    return reason === '' ? { allowed } : { allowed, reason };
  }

  #rulesReview(spec: JsonObject, user: UserInfo): unknown {
    const { namespace } = spec;
    if (typeof namespace !== 'string' || namespace === '')
      throw badRequest('no namespace on request');
    const { rules, problems } = this.#options.policy.rulesFor(user, namespace);
    return {
      resourceRules: rules
        .filter((rule) => !isPath(rule))
        .map(({ verbs, apiGroups, resources, resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          ...(resourceNames === undefined ? {} : { resourceNames }),
        })),
      nonResourceRules: rules
        .filter(isPath)
        .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
      incomplete: problems.length > 0,
      ...(problems.length > 0 ? { evaluationError: problems.join(', ') } : {}),
    };
  }
}

function isPath(rule: PolicyRule): boolean {
  return (rule.nonResourceURLs ?? []).length > 0;
}

function checkKind(review: JsonObject, apiVersion: string, kind: string): void {
  const given = [review['apiVersion'] ?? apiVersion, review['kind'] ?? kind];
  if (given[0] !== apiVersion)
    throw badRequest(
      `the API version in the data (${JSON.stringify(given[0])}) does not match the expected API version (${apiVersion})`,
    );
  if (given[1] !== kind)
    throw badRequest(
      `the kind in the data (${JSON.stringify(given[1])}) does not match the expected kind (${kind})`,
    );
}

function attributesOf(spec: JsonObject, user: UserInfo, namespace: string | undefined): Attributes {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined))
    throw badRequest(
      'spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified',
    );
  if (nonResourceAttributes !== undefined) {
    const path = fieldsOf(nonResourceAttributes);
    return { user, verb: textOf(path['verb']), path: textOf(path['path']) };
  }
  const resource = fieldsOf(resourceAttributes);
  if (namespace !== undefined && textOf(resource['namespace']) !== namespace)
    throw badRequest(
      `spec.resourceAttributes.namespace must match the namespace of the request: ${namespace}`,
    );
  return {
    user,
    verb: textOf(resource['verb']),
    group: textOf(resource['group']),
    resource: textOf(resource['resource']),
    subresource: textOf(resource['subresource']),
    name: textOf(resource['name']),
    namespace: textOf(resource['namespace']),
  };
}

function subjectOf(spec: JsonObject): UserInfo {
  const username = textOf(spec['user']);
  const groups = textsOf(spec['groups']);
  if (username === '' && groups.length === 0)
    throw badRequest('spec.user: Required value: at least one of user or group must be specified');
  return { username, groups, extra: {} };
}

function userInfo(user: UserInfo): JsonObject {
  const { username, uid, groups, extra } = user;
  return {
    username,
    ...(uid === undefined ? {} : { uid }),
    groups,
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function fieldsOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
