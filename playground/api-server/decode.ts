import { badRequest } from './errors.ts';
import type { JsonObject } from './json.ts';
import { isObject } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { apiVersionOf } from './object.ts';

// Nothing that people write comes near; deeper than this only serves to exhaust the stack.
const DEPTH_MAX = 128;

/**
 * A copy of a request's body as an object of `kind`, which the caller may change. Throws the 400 of
 * a body that is no object, or one of another kind or version.
 */
export function decodeObject(kind: ServedKind, body: unknown): ApiObject {
  if (!isObject(body))
    throw badRequest(cannotBeHandled(kind, 'the body of the request is not an object'));
  const object = copyFields(body, DEPTH_MAX);
  const expected = apiVersionOf(kind);
  if (kind.custom && typeof object['kind'] !== 'string') {
    throw badRequest(`Object 'Kind' is missing in '${JSON.stringify(body).slice(0, 200)}'`);
  }
  const apiVersion = wordOf(object['apiVersion'] ?? expected);
  const name = wordOf(object['kind'] ?? kind.kind);
  if (apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    );
  }
  if (name !== kind.kind) {
    throw badRequest(
      `${name} in version "${kind.version}" cannot be handled as a ${kind.kind}: the kind in the data (${name}) does not match the expected kind (${kind.kind})`,
    );
  }
  const metadata = object['metadata'] ?? {};
  if (!isObject(metadata)) {
    throw badRequest(
      cannotBeHandled(
        kind,
        'json: cannot unmarshal metadata into Go struct field .metadata of type v1.ObjectMeta',
      ),
    );
  }
  return { ...object, apiVersion: expected, kind: kind.kind, metadata };
}

/** The words for a body that does not decode as its kind. */
export function cannotBeHandled(kind: ServedKind, why: string): string {
  return `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${why}`;
}

function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function copyFields(object: JsonObject, depthLeft: number): JsonObject {
  if (depthLeft === 0)
    throw badRequest(`the body of the request is nested deeper than ${DEPTH_MAX} levels`);
  const copy: JsonObject = {};
  for (const field of Object.keys(object)) {
    // Assigning it would set the object's prototype. No field of the API has this name.
    if (field === '__proto__') throw badRequest('a field cannot be named "__proto__"');
    copy[field] = copyValue(object[field], depthLeft - 1);
  }
  return copy;
}

function copyValue(value: unknown, depthLeft: number): unknown {
  if (Array.isArray(value)) {
    if (depthLeft === 0)
      throw badRequest(`the body of the request is nested deeper than ${DEPTH_MAX} levels`);
    return value.map((item: unknown) => copyValue(item, depthLeft - 1));
  }
  return isObject(value) ? copyFields(value, depthLeft) : value;
}
