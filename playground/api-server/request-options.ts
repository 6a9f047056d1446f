import type { JsonObject } from './body.ts';
import { ApiError, badRequest, invalid, invalidValue, unsupportedValue } from './errors.ts';
import type { ApiRequest } from './exchange.ts';
import { namespaceOf, type ResourceRequest } from './request-info.ts';
import type { ListOptions, WriteOptions } from './store.ts';

/** metav1.DeleteOptions, of the query or of the body. */
export interface GivenDeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun: boolean;
}

const FIELD_VALIDATIONS = ['Ignore', 'Warn', 'Strict'] as const;
const PROPAGATION_POLICIES = ['Orphan', 'Background', 'Foreground'] as const;
const MANAGER_LENGTH_MAX = 128;

/** What a list or a watch selects, and how much of it. @throws ApiError 400 */
export function listOptions(request: ApiRequest, info: ResourceRequest): ListOptions {
  const { query } = request;
  const fields = query.get('fieldSelector') ?? '';
  // A watch of one object is a watch of the collection that sees only that object.
  const own = info.name === '' ? [] : [`metadata.name=${info.name}`];
  const limit = numberOf(query, 'limit') ?? 0;
  return {
    namespace: namespaceOf(info),
    labelSelector: query.get('labelSelector') ?? undefined,
    fieldSelector: [...own, ...(fields === '' ? [] : [fields])].join(','),
    limit,
    continueToken: query.get('continue') ?? undefined,
    resourceVersion: query.get('resourceVersion') ?? undefined,
    resourceVersionMatch: query.get('resourceVersionMatch') ?? undefined,
  };
}

/** Who writes and how, for create, update and patch. @throws ApiError 400, 422 */
export function writeOptions(request: ApiRequest): WriteOptions {
  const { query, user } = request;
  const fieldValidation = query.get('fieldValidation') ?? 'Warn';
  if (!isOneOf(FIELD_VALIDATIONS, fieldValidation))
    throw invalidOption('CreateOptions', 'fieldValidation', fieldValidation, FIELD_VALIDATIONS);
  return {
    user: user.username,
    dryRun: dryRunOf(query.getAll('dryRun')),
    fieldManager: fieldManagerOf(request),
    fieldValidation,
    warn: (text) => request.warn(text),
  };
}

/** How to delete: the body counts, then the query. @throws ApiError 400, 422 */
export function deleteOptions(request: ApiRequest, body: JsonObject): GivenDeleteOptions {
  const { query } = request;
  const grace = body['gracePeriodSeconds'] ?? numberOf(query, 'gracePeriodSeconds');
  const policy = policyOf(body, query);
  const preconditions = body['preconditions'] as GivenDeleteOptions['preconditions'] | null;
  const dryRun = body['dryRun'] as readonly string[] | null | undefined;
  if (grace !== undefined && grace !== null && (typeof grace !== 'number' || grace < 0))
    throw badRequest(
      `gracePeriodSeconds must be a non-negative integer, not ${JSON.stringify(grace)}`,
    );
  return {
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
    ...(policy === undefined ? {} : { propagationPolicy: policy }),
    ...(preconditions ? { preconditions } : {}),
    dryRun: dryRunOf(dryRun ?? query.getAll('dryRun')),
  };
}

/** @throws ApiError 400 when it is there and no number */
export function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^-?\d{1,15}$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

function policyOf(
  body: JsonObject,
  query: URLSearchParams,
): GivenDeleteOptions['propagationPolicy'] {
  const orphan = body['orphanDependents'] ?? query.get('orphanDependents') ?? undefined;
  const given = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  if (given === undefined)
    return orphan === undefined
      ? undefined
      : orphan === true || orphan === 'true'
        ? 'Orphan'
        : 'Background';
  if (typeof given === 'string' && isOneOf(PROPAGATION_POLICIES, given)) return given;
  throw invalidOption('DeleteOptions', 'propagationPolicy', given, PROPAGATION_POLICIES);
}

function dryRunOf(values: readonly string[]): boolean {
  const wrong = values.find((value) => value !== 'All');
  if (wrong !== undefined) throw invalidOption('CreateOptions', 'dryRun', wrong, ['All']);
  return values.length > 0;
}

/** As given, or the first word of the user agent, as it is when a client says nothing. */
function fieldManagerOf(request: ApiRequest): string {
  const given = request.query.get('fieldManager');
  if (given === null || given === '') {
    const [agent = ''] = (request.headers['user-agent'] ?? '').split('/', 1);
    return agent.slice(0, MANAGER_LENGTH_MAX) || 'unknown';
  }
  if (given.length > MANAGER_LENGTH_MAX || !/^[\x20-\x7e]*$/.test(given)) {
    const problem = invalidValue(
      'fieldManager',
      given,
      'must be printable and at most 128 characters',
    );
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [problem]);
  }
  return given;
}

function invalidOption(
  kind: string,
  field: string,
  value: unknown,
  supported: readonly string[],
): ApiError {
  const problem = unsupportedValue(field, value, supported);
  return invalid({ group: 'meta.k8s.io', kind }, '', [problem]);
}

function isOneOf<T extends string>(list: readonly T[], value: string): value is T {
  return (list as readonly string[]).includes(value);
}
