import { ApiError, badRequest } from '../errors.ts';
import { isObject } from '../json.ts';
import type { ServedKind } from '../kinds.ts';
import type { StoredObject } from '../object.ts';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';

/** application/json-patch+json, merge-patch+json, strategic-merge-patch+json and apply-patch+yaml. */
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

/** The object that a patch makes of `current`. Throws the 4xx of a patch that does not fit. */
export function applyPatch(
  kind: ServedKind,
  current: StoredObject,
  patch: { readonly type: PatchType; readonly body: unknown },
): unknown {
  if (patch.type === 'json') return applyJsonPatch(kind, current, patch.body);
  if (!isObject(patch.body)) {
    throw badRequest(
      'json: cannot unmarshal the patch into Go value of type map[string]interface {}',
    );
  }
  return mergePatch(current, patch.body);
}

function applyJsonPatch(kind: ServedKind, current: StoredObject, body: unknown): unknown {
  const result = jsonPatch(current, body);
  if (result.kind === 'patched') return result.value;
  if (result.kind === 'malformed') throw badRequest(result.message);
  const message = 'the server rejected our request due to an error in our request';
  throw new ApiError(422, 'Invalid', message, {
    details: {
      name: current.metadata.name,
      ...(kind.group === '' ? {} : { group: kind.group }),
      kind: kind.plural,
      causes: [{ reason: 'UnexpectedServerResponse', message: result.message }],
    },
  });
}
