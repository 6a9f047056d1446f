import { nodeOf } from './admission.ts';
import type { JsonObject } from './body.ts';
import type { StoredBoundObjects } from './bound-objects.ts';
import {
  badRequest,
  conflict,
  type FieldProblem,
  forbidden,
  invalid,
  invalidValue,
  notFound,
  requiredValue,
  unsupportedValue,
} from './errors.ts';
import { type Answer, type ApiRequest, objectAnswer } from './exchange.ts';
import type { StoredObject } from './object.ts';
import type { ResourceRequest } from './request-info.ts';
import { readObject } from './resources.ts';
import type { NamedObject, ServiceAccountTokens, TokenRequest } from './tokens.ts';

export interface TokenRequestsOptions {
  readonly tokens: ServiceAccountTokens;
  readonly objects: StoredBoundObjects;
  /** Audiences of tokens that name none. */
  readonly audiences: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

type Binding = Pick<TokenRequest, 'pod' | 'secret' | 'node'>;
type BoundKind = 'Pod' | 'Secret' | 'Node';

const API_VERSION = 'authentication.k8s.io/v1';
const LIFE_SECONDS = 3_600;
const LIFE_SECONDS_MIN = 600;
const LIFE_SECONDS_MAX = 2 ** 32;
const SUBJECT = { group: 'authentication.k8s.io', kind: 'TokenRequest' };

/** Makes tokens of service accounts: POST …/serviceaccounts/NAME/token. */
export class TokenRequests {
  readonly #options: TokenRequestsOptions;

  constructor(options: TokenRequestsOptions) {
    this.#options = options;
  }

  /** @throws ApiError 400, 403, 404, 409, 422 */
  async create(request: ApiRequest, info: ResourceRequest): Promise<Answer> {
    const { tokens, objects, audiences: defaults, now } = this.#options;
    const { namespace, name } = info;
    const account = objects.find('ServiceAccount', namespace, name);
    if (account === undefined) throw notFound(ACCOUNTS, name);
    const body = await readObject(request);
    if (
      (body['apiVersion'] ?? API_VERSION) !== API_VERSION ||
      (body['kind'] ?? 'TokenRequest') !== 'TokenRequest'
    )
      throw badRequest(`want a TokenRequest of ${API_VERSION}`);
    const spec = (body['spec'] ?? {}) as JsonObject;
    const lifeSeconds = lifeOf(spec);
    const given = (spec['audiences'] ?? []) as readonly string[];
    const audiences = given.length === 0 ? defaults : given;
    const bound = spec['boundObjectRef'] as JsonObject | null | undefined;
    const binding = bound ? this.#binding(bound, account) : {};
    this.#restrictNode(request, account, binding);
    const issued = tokens.issue(
      { namespace, serviceAccount: named(account), audiences, lifeSeconds, ...binding },
      now(),
    );
    return objectAnswer(
      {
        kind: 'TokenRequest',
        apiVersion: API_VERSION,
        metadata: { name, namespace, creationTimestamp: rfc3339(now()) },
        spec: { audiences, expirationSeconds: lifeSeconds, boundObjectRef: bound ?? null },
        status: { token: issued.token, expirationTimestamp: rfc3339(issued.expiresMs) },
      },
      201,
    );
  }

  #binding(reference: JsonObject, account: StoredObject): Binding {
    const { objects } = this.#options;
    const { kind, name, uid, apiVersion } = reference;
    const field = 'spec.boundObjectRef';
    if (kind !== 'Pod' && kind !== 'Secret' && kind !== 'Node')
      throw problem(unsupportedValue(`${field}.kind`, kind, ['Pod', 'Secret', 'Node']));
    if (apiVersion !== undefined && apiVersion !== '' && apiVersion !== 'v1')
      throw problem(unsupportedValue(`${field}.apiVersion`, apiVersion, ['v1']));
    if (typeof name !== 'string' || name === '') throw problem(requiredValue(`${field}.name`));
    const object = objects.find(kind, account.metadata.namespace ?? '', name);
    if (object === undefined) throw notFound(BOUND[kind], name);
    if (typeof uid === 'string' && uid !== '' && uid !== object.metadata.uid)
      throw conflict(
        BOUND[kind],
        name,
        `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    if (kind === 'Secret') return { secret: named(object) };
    if (kind === 'Node') return { node: named(object) };
    return this.#podBinding(object, account);
  }

  #podBinding(pod: StoredObject, account: StoredObject): Binding {
    const spec = pod['spec'] as { serviceAccountName?: string; nodeName?: string } | undefined;
    if (spec?.serviceAccountName !== account.metadata.name)
      throw badRequest(
        `cannot bind token for serviceaccount "${account.metadata.name}" to pod running with different serviceaccount name.`,
      );
    const { nodeName } = spec;
    if (!nodeName) return { pod: named(pod) };
    const node = this.#options.objects.find('Node', '', nodeName);
    return {
      pod: named(pod),
      node: node === undefined ? { name: nodeName, uid: '' } : named(node),
    };
  }

  /** A node agent gets tokens for the pods on its node, and for nothing else. */
  #restrictNode(request: ApiRequest, account: StoredObject, binding: Binding): void {
    const node = nodeOf(request.user);
    if (node === undefined) return;
    const refuse = (why: string): never => {
      throw forbidden(ACCOUNTS, account.metadata.name, `node "${node}" ${why}`);
    };
    if (binding.pod === undefined) refuse('requested token not bound to a pod');
    if (binding.node?.name !== node)
      refuse('requested token bound to a pod scheduled on a different node');
  }
}

const ACCOUNTS = { group: '', plural: 'serviceaccounts', kind: 'ServiceAccount' };
const BOUND: Readonly<Record<BoundKind, { group: string; plural: string; kind: string }>> = {
  Pod: { group: '', plural: 'pods', kind: 'Pod' },
  Secret: { group: '', plural: 'secrets', kind: 'Secret' },
  Node: { group: '', plural: 'nodes', kind: 'Node' },
};

function lifeOf(spec: JsonObject): number {
  const field = 'spec.expirationSeconds';
  const given = spec['expirationSeconds'] ?? LIFE_SECONDS;
  if (typeof given !== 'number' || !Number.isInteger(given))
    throw problem(invalidValue(field, given, 'must be an integer'));
  if (given < LIFE_SECONDS_MIN)
    throw problem(invalidValue(field, given, 'may not specify a duration less than 10 minutes'));
  if (given > LIFE_SECONDS_MAX)
    throw problem(
      invalidValue(field, given, 'may not specify a duration larger than 2^32 seconds'),
    );
  return given;
}

function problem(what: FieldProblem): Error {
  return invalid(SUBJECT, '', [what]);
}

function named(object: StoredObject): NamedObject {
  return { name: object.metadata.name, uid: object.metadata.uid };
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
