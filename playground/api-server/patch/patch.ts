import { ApiError, badRequest, unsupportedMediaType } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { isList, isObject } from '../json.ts';
import type { ServedKind } from '../kinds.ts';
import type { StoredObject } from '../object.ts';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import { strategicMerge } from './strategic-merge.ts';

// Custom resources have no merge keys for a strategic merge patch.
const CUSTOM_PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/apply-patch+yaml',
];

/** application/json-patch+json, merge-patch+json, strategic-merge-patch+json and apply-patch+yaml. */
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

/**
 * The object that a patch makes of `current`. Server-side apply has to do with managers, too: see
 * apply.ts. Throws the 4xx of a patch that does not fit.
 */
export function applyPatch(
  kind: ServedKind,
  current: StoredObject,
  patch: { readonly type: Exclude<PatchType, 'apply'>; readonly body: unknown },
): unknown {
  if (patch.type === 'json') return applyJsonPatch(current, patch.body);
  if (!isObject(patch.body)) {
    const what = isList(patch.body) ? 'array' : patch.body === null ? 'null' : typeof patch.body;
    const why = `json: cannot unmarshal ${what} into Go value of type map[string]interface {}`;
    throw badRequest(patch.type === 'merge' ? `error decoding patch: ${why}` : why);
  }
  if (patch.type === 'merge') return mergePatch(current, patch.body);
  return applyStrategic(kind, current, patch.body);
}

function applyStrategic(kind: ServedKind, current: StoredObject, patch: JsonObject): unknown {
  if (kind.custom || kind.schema === undefined) throw unsupportedMediaType(CUSTOM_PATCH_TYPES);
  const result = strategicMerge(current, patch, kind.schema);
  if (result.kind === 'patched') return result.value;
  throw badRequest(result.message);
}

function applyJsonPatch(current: StoredObject, body: unknown): unknown {
  const result = jsonPatch(current, body);
  if (result.kind === 'patched') return result.value;
  if (result.kind === 'malformed') throw badRequest(`error decoding patch: ${result.message}`);
  const message = 'the server rejected our request due to an error in our request';
  throw new ApiError(422, 'Invalid', message, { details: {} });
}
