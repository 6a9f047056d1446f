import { cannotBeHandled } from './decode.ts';
import type { ApiError } from './errors.ts';
import { badRequest, invalid, invalidValue } from './errors.ts';
import type { JsonObject } from './json.ts';
import { isObject } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { objectMetaSchema } from './schema/builtin.ts';
import { decodeTyped } from './schema/decode.ts';
import { pruneUnknown } from './schema/prune.ts';

/** What to do about fields that the schema does not know: metav1's fieldValidation. */
export interface FieldValidation {
  readonly fieldValidation: 'Ignore' | 'Warn' | 'Strict';
  /** The object is what a patch has made: then it is the patch that is wrong. */
  readonly patched?: boolean | undefined;
  warn(text: string): void;
}

/**
 * Makes an object as its schema wants it: takes unknown fields away, or refuses them. Throws the 400
 * of an object that cannot be read. `object` is changed.
 */
export function conform(kind: ServedKind, object: ApiObject, options: FieldValidation): void {
  const { schema } = kind;
  if (schema === undefined) return;
  const { fieldValidation, patched } = options;
  const isStrict = fieldValidation === 'Strict';
  const patch = patched === true && isStrict ? patchedText(object) : undefined;
  const types = kind.custom ? metadataOnly : schema;
  reportUnknown(kind, pruneUnknown(schema, object), { ...options, patch });
  const problem = decodeTyped(types, object);
  if (problem !== undefined && patched === true) throw wrongPatch(object, problem);
  if (problem !== undefined) throw badRequest(cannotBeHandled(kind, problem));
  // After the decoding has dropped a null.
  if (!isObject(object.metadata)) object.metadata = {};
}

const metadataOnly = {
  type: 'object',
  get properties() {
    return { metadata: objectMetaSchema() };
  },
};

function reportUnknown(
  kind: ServedKind,
  paths: readonly string[],
  options: FieldValidation & { readonly patch: string | undefined },
): void {
  const { fieldValidation, patch } = options;
  if (paths.length === 0 || fieldValidation === 'Ignore') return;
  const texts = paths.map((path) => `unknown field "${path}"`);
  if (fieldValidation === 'Strict') {
    const why = `strict decoding error: ${texts.join(', ')}`;
    if (patch === undefined) throw badRequest(cannotBeHandled(kind, why));
    throw invalid(NOBODY, '', [invalidValue('patch', patch, why)]);
  }
  for (const text of texts) options.warn(text);
}

/** The 422 of a patch that makes of an object what it cannot be. */
export function wrongPatch(patched: unknown, why: string): ApiError {
  const text = isObject(patched) ? patchedText(patched) : JSON.stringify(patched);
  return invalid(NOBODY, '', [invalidValue('patch', text, why)]);
}

const NOBODY = { group: '', kind: '' };

function patchedText(object: JsonObject): string {
  const { metadata, ...rest } = object;
  if (!isObject(metadata)) return JSON.stringify(object);
  const { managedFields: _fields, ...shown } = metadata;
  return JSON.stringify({ ...rest, metadata: shown });
}
