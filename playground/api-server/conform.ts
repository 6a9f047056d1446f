import { cannotBeHandled } from './decode.ts';
import { badRequest } from './errors.ts';
import { isObject } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { objectMetaSchema } from './schema/builtin.ts';
import { decodeTyped } from './schema/decode.ts';
import { pruneUnknown } from './schema/prune.ts';

/** What to do about fields that the schema does not know: metav1's fieldValidation. */
export interface FieldValidation {
  readonly fieldValidation: 'Ignore' | 'Warn' | 'Strict';
  warn(text: string): void;
}

/**
 * Makes an object as its schema wants it: takes unknown fields away, or refuses them. Throws the 400
 * of an object that cannot be read. `object` is changed.
 */
export function conform(kind: ServedKind, object: ApiObject, options: FieldValidation): void {
  const { schema } = kind;
  if (schema === undefined) return;
  reportUnknown(kind, pruneUnknown(schema, object), options);
  const problem = decodeTyped(kind.custom ? metadataOnly : schema, object);
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

function reportUnknown(kind: ServedKind, paths: readonly string[], options: FieldValidation): void {
  const { fieldValidation } = options;
  if (paths.length === 0 || fieldValidation === 'Ignore') return;
  const texts = paths.map((path) => `unknown field "${path}"`);
  if (fieldValidation === 'Strict') {
    throw badRequest(cannotBeHandled(kind, `strict decoding error: ${texts.join(', ')}`));
  }
  for (const text of texts) options.warn(text);
}
