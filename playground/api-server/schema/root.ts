import type { ServedKind } from '../kinds.ts';
import { objectMetaSchema } from './builtin.ts';
import type { JsonSchema } from './json-schema.ts';

const roots = new WeakMap<ServedKind, JsonSchema>();

/** The schema of a kind's objects with that of their metadata, which custom resources leave out. */
export function rootSchema(kind: ServedKind): JsonSchema {
  const known = roots.get(kind);
  if (known !== undefined) return known;
  const schema = kind.schema ?? {};
  const properties = { ...schema.properties, metadata: objectMetaSchema() };
  const root = kind.custom ? { ...schema, properties } : schema;
  roots.set(kind, root);
  return root;
}
