import { conform } from './conform.ts';
import { decodeObject } from './decode.ts';
import { ApiError, badRequest } from './errors.ts';
import { deepCopy, isObject } from './json.ts';
import type { ServedKind } from './kinds.ts';
import { checkPlace } from './metadata.ts';
import type { ApiObject, StoredObject } from './object.ts';
import { apiVersionOf, timestamp } from './object.ts';
import type { ApplyRequest } from './patch/apply.ts';
import { applyConfig } from './patch/apply.ts';
import type { Writer } from './patch/managed-fields.ts';
import { trackUpdate } from './patch/managed-fields.ts';
import { MissingKeyError } from './patch/typed.ts';
import { undeclaredProblem } from './patch/undeclared.ts';
import { rootSchema } from './schema/root.ts';
import type { PatchOptions, Place, WriteOptions } from './store.ts';
import { partOf } from './strategy.ts';

/** Who writes now, as managedFields names them, and when. */
export interface Tracking {
  readonly writer: Writer;
  readonly time: string;
}

export function trackingOf(
  kind: ServedKind,
  operation: Writer['operation'],
  options: WriteOptions & { readonly subresource?: string | undefined },
  nowMs: number,
): Tracking {
  const manager = options.fieldManager === '' ? 'unknown' : options.fieldManager;
  const subresource = options.subresource ?? '';
  const writer = { manager, operation, apiVersion: apiVersionOf(kind), subresource };
  return { writer, time: timestamp(nowMs) };
}

/** Notes in an object who has set what since `before`. `after` is changed. */
export function track(
  kind: ServedKind,
  before: StoredObject | undefined,
  after: ApiObject,
  tracking: Tracking,
): void {
  // A list that says that nobody manages anything: that is how managers are made to be forgotten.
  const { managedFields } = after.metadata;
  const forget = managedFields?.every((entry) => Object.keys(entry).length === 0) === true;
  const known = before === undefined || !forget ? before : withoutManagers(before);
  try {
    trackUpdate(known, after, rootSchema(kind), tracking);
  } catch (error) {
    if (!(error instanceof MissingKeyError)) throw error;
    // Not an error of this request when it is an older object that cannot be told apart.
    const former = known?.metadata.managedFields;
    if (former === undefined) delete after.metadata.managedFields;
    else after.metadata.managedFields = former;
  }
}

/** Reads the body of a server-side apply. Throws the 400 of one that cannot be applied, and the 500 for unknown fields. */
export function decodeConfig(
  kind: ServedKind,
  place: Place,
  body: unknown,
  options: PatchOptions,
): ApiObject {
  const { apiVersion = '', kind: name = '' } = isObject(body) ? body : {};
  if (apiVersion === '' || name === '')
    throw badRequest(
      `invalid object type: ${versionText(String(apiVersion))}, Kind=${String(name)}`,
    );
  const config = decodeObject(kind, body);
  checkPlace(kind, config, place);
  const undeclared = undeclaredProblem(rootSchema(kind), config);
  if (undeclared !== undefined) {
    const { namespace = '' } = config.metadata;
    const what = `${namespace}/${place.name}; ${versionText(apiVersionOf(kind))}, Kind=${kind.kind}`;
    // An error that the reference has no code for.
    throw new ApiError(500, '', `failed to create typed patch object (${what}): ${undeclared}`);
  }
  conform(kind, config, options);
  if ((config.metadata.managedFields ?? []).length > 0) {
    throw badRequest('metadata.managedFields must be nil');
  }
  config.metadata.name = place.name;
  if (kind.namespaced && place.namespace !== undefined) config.metadata.namespace = place.namespace;
  if (partOf(options.subresource) === 'status') return onlyStatus(config);
  if (kind.subresources.includes('status')) delete config['status'];
  return config;
}

/** The object that an apply makes, for the caller to change. Throws 409 for a conflict. */
export function applyTo(
  kind: ServedKind,
  current: StoredObject | undefined,
  config: ApiObject,
  request: ApplyRequest,
): ApiObject {
  try {
    const result = applyConfig(current, config, rootSchema(kind), request);
    if (result.kind === 'conflict') throw result.error;
    return deepCopy(result.object);
  } catch (error) {
    if (error instanceof MissingKeyError) throw badRequest(error.message);
    throw error;
  }
}

/** A group and a version; the core's group has no name. */
function versionText(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion : `/${apiVersion}`;
}

function onlyStatus(config: ApiObject): ApiObject {
  const { name, namespace, uid, resourceVersion } = config.metadata;
  const metadata = Object.fromEntries(
    Object.entries({ name, namespace, uid, resourceVersion }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const { apiVersion, kind, status } = config;
  return status === undefined
    ? { apiVersion, kind, metadata }
    : { apiVersion, kind, metadata, status };
}

function withoutManagers(object: StoredObject): StoredObject {
  const { managedFields: _fields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
