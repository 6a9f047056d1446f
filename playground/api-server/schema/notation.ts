import { invariant } from '#common/assert.ts';

import type { JsonSchema } from './json-schema.ts';

/**
 * Reads definitions from a compact text:
 *
 *     # io.k8s.api.core.v1                    what follows is named io.k8s.api.core.v1.…
 *     Toleration                              a definition ("atomic": applied as one value)
 *       key string, value! string             its fields; "!": has to be there
 *
 * A type is `string`, `boolean`, `int32`, `int64`, `number`, `bytes`, `time`, `microtime`, `quantity`,
 * `intstr`, `any`, a definition's name, `[type]` for a list, `{type}` for a map, or `A|B` for one of
 * these words. Behind it may stand how patches treat the field: `map=key+key`, `set` and `atomic` for
 * server-side apply, `merge`, `merge=key` and `retainKeys` for strategic merge patches; and
 * `default=text`, which items of a list of kind map take for a key that they leave out.
 * A definition with `metadata` has `apiVersion` and `kind` too.
 */
export function readDefinitions(texts: readonly string[]): ReadonlyMap<string, JsonSchema> {
  const reader = new NotationReader();
  for (const text of texts) reader.collect(text);
  return reader.resolve();
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<JsonSchema>;

interface Entry {
  readonly prefix: string;
  readonly schema: Draft;
  readonly fields: readonly string[];
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
// Where a name is looked for that its own group does not define.
const SHARED_PREFIXES = ['io.k8s.api.core.v1', META];

class NotationReader {
  readonly #entries = new Map<string, Entry>();
  /** Fields that say more than the definition they refer to: filled once that is complete. */
  readonly #later: (() => void)[] = [];

  collect(text: string): void {
    let prefix = '';
    let fields: string[] = [];
    for (const line of text.split('\n')) {
      if (line.startsWith('# ')) {
        prefix = line.slice(2);
      } else if (line.startsWith('  ')) {
        fields.push(...line.split(',').filter((field) => field.trim() !== ''));
      } else if (line !== '') {
        fields = [];
        this.#define(prefix, line.split(' '), fields);
      }
    }
  }

  resolve(): ReadonlyMap<string, JsonSchema> {
    for (const entry of this.#entries.values()) this.#fill(entry);
    for (const complete of this.#later) complete();
    return new Map([...this.#entries].map(([name, { schema }]) => [name, schema]));
  }

  #define(prefix: string, header: readonly string[], fields: readonly string[]): void {
    const [name = '', atomic] = header;
    const schema: Draft = { type: 'object', definition: `${prefix}.${name}` };
    if (atomic === 'atomic') schema['x-kubernetes-map-type'] = 'atomic';
    this.#entries.set(`${prefix}.${name}`, { prefix, schema, fields });
  }

  #fill({ prefix, schema, fields }: Entry): void {
    const properties: Record<string, JsonSchema> = {};
    const required: string[] = [];
    for (const field of fields) {
      const [name = '', type = '', ...options] = field.trim().split(' ');
      const key = name.replace('!', '');
      if (key !== name) required.push(key);
      properties[key] = this.#field(type, options, prefix);
      if (key === 'metadata') Object.assign(properties, { apiVersion: TEXT, kind: TEXT });
    }
    schema.properties = properties;
    if (required.length > 0) schema.required = required;
  }

  #field(type: string, options: readonly string[], prefix: string): JsonSchema {
    const base = this.#type(type, prefix);
    if (options.length === 0) return base;
    const extended: Draft = {};
    this.#later.push(() => {
      Object.assign(extended, base);
      for (const option of options) applyOption(extended, option);
    });
    return extended;
  }

  #type(type: string, prefix: string): JsonSchema {
    const inner = type.slice(1, -1);
    if (type.startsWith('[')) return { type: 'array', items: this.#type(inner, prefix) };
    if (type.startsWith('{')) {
      return { type: 'object', additionalProperties: this.#type(inner, prefix) };
    }
    if (type.includes('|')) return { type: 'string', enum: type.split('|') };
    const scalar = SCALARS[type];
    if (scalar !== undefined) return scalar;
    for (const place of [prefix, ...SHARED_PREFIXES]) {
      const entry = this.#entries.get(`${place}.${type}`);
      if (entry !== undefined) return entry.schema;
    }
    throw new Error(`No definition is named "${type}" for ${prefix}`);
  }
}

function applyOption(schema: Draft, option: string): void {
  const [word = '', value] = option.split('=');
  switch (word) {
    case 'map':
      invariant(value !== undefined, 'a list of kind map has keys');
      schema['x-kubernetes-list-type'] = 'map';
      schema['x-kubernetes-list-map-keys'] = value.split('+');
      return;
    case 'default':
      schema.default = value;
      return;
    case 'set':
      schema['x-kubernetes-list-type'] = 'set';
      return;
    case 'atomic':
      schema['x-kubernetes-map-type'] = 'atomic';
      return;
    case 'merge':
    case 'retainKeys': {
      const before = schema['x-kubernetes-patch-strategy'];
      schema['x-kubernetes-patch-strategy'] = before === undefined ? word : `${before},${word}`;
      if (value !== undefined) schema['x-kubernetes-patch-merge-key'] = value;
      return;
    }
    default:
      throw new Error(`Unknown option "${option}" in a schema`);
  }
}

const TEXT: JsonSchema = { type: 'string' };

const SCALARS: Readonly<Record<string, JsonSchema>> = {
  string: TEXT,
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  number: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
  time: { type: 'string', format: 'date-time', definition: `${META}.Time` },
  microtime: { type: 'string', format: 'date-time', definition: `${META}.MicroTime` },
  quantity: {
    'x-kubernetes-int-or-string': true,
    definition: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  },
  intstr: {
    'x-kubernetes-int-or-string': true,
    definition: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  },
  any: { 'x-kubernetes-preserve-unknown-fields': true },
};
