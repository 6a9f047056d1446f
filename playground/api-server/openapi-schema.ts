import type { ServedKind } from './kinds.ts';
import type { JsonSchema } from './schema/json-schema.ts';

/** A schema as the documents carry it: plain JSON, with references instead of named schemas. */
export type SchemaObject = Readonly<Record<string, unknown>>;

/** The two documents differ in where schemas are, and in what a schema may say. */
export interface Dialect {
  /** What stands before a definition's name in a reference. */
  readonly prefix: string;
  /** Version 2 has no alternatives and no null. */
  readonly version: 2 | 3;
}

export const VERSION_2: Dialect = { prefix: '#/definitions/', version: 2 };
export const VERSION_3: Dialect = { prefix: '#/components/schemas/', version: 3 };

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
/** Written as they are, when they are there. */
const PLAIN = [
  'type',
  'format',
  'title',
  'description',
  'default',
  'enum',
  'required',
  'minimum',
  'exclusiveMinimum',
  'maximum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
  'x-kubernetes-patch-merge-key',
  'x-kubernetes-patch-strategy',
] as const;

/** Collects the definitions of a document while kinds are added to it. */
export class Definitions {
  readonly #dialect: Dialect;
  readonly #byName = new Map<string, SchemaObject>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
    this.#byName.set(`${META}.ListMeta`, listMeta);
    this.#byName.set(`${META}.ObjectMeta`, objectMeta);
    this.#byName.set(`${META}.Status`, { type: 'object', description: 'The outcome of a call' });
  }

  /** Adds a kind and its list; answers the names of both definitions. */
  add(kind: ServedKind): { object: string; list: string } {
    const object = definitionName(kind, kind.kind);
    const list = definitionName(kind, kind.listKind);
    const schema = this.#inline(kind.schema ?? anything);
    const properties = {
      apiVersion: versionField,
      kind: kindField,
      ...(schema['properties'] as Record<string, unknown> | undefined),
      metadata: this.#reference(`${META}.ObjectMeta`),
    };
    this.#byName.set(object, {
      ...schema,
      type: 'object',
      properties,
      'x-kubernetes-group-version-kind': [groupVersionKind(kind, kind.kind)],
    });
    this.#byName.set(list, {
      type: 'object',
      required: ['items'],
      description: `A list of ${kind.kind}`,
      properties: {
        apiVersion: versionField,
        items: { type: 'array', items: this.#reference(object) },
        kind: kindField,
        metadata: this.#reference(`${META}.ListMeta`),
      },
      'x-kubernetes-group-version-kind': [groupVersionKind(kind, kind.listKind)],
    });
    return { object, list };
  }

  reference(name: string): SchemaObject {
    return this.#reference(name);
  }

  all(): Readonly<Record<string, SchemaObject>> {
    const byName = [...this.#byName].toSorted(([left], [right]) => (left < right ? -1 : 1));
    return Object.fromEntries(byName);
  }

  #reference(name: string): SchemaObject {
    return { $ref: `${this.#dialect.prefix}${name}` };
  }

  #convert(schema: JsonSchema): SchemaObject {
    const { definition } = schema;
    if (definition === undefined) return this.#inline(schema);
    if (!this.#byName.has(definition)) {
      // Before its content, which may refer to it again.
      this.#byName.set(definition, {});
      this.#byName.set(definition, this.#inline(schema));
    }
    return this.#reference(definition);
  }

  #inline(schema: JsonSchema): SchemaObject {
    const converted: Record<string, unknown> = {};
    for (const key of PLAIN) if (schema[key] !== undefined) converted[key] = schema[key];
    if (schema['x-kubernetes-int-or-string'] === true)
      Object.assign(converted, this.#intOrString());
    if (schema.properties !== undefined)
      converted['properties'] = mapValues(schema.properties, (each) => this.#convert(each));
    const { additionalProperties, items } = schema;
    if (additionalProperties !== undefined)
      converted['additionalProperties'] =
        typeof additionalProperties === 'boolean'
          ? additionalProperties
          : this.#convert(additionalProperties);
    if (items !== undefined) converted['items'] = this.#convert(items);
    if (this.#dialect.version === 3) this.#addAlternatives(converted, schema);
    return converted;
  }

  #addAlternatives(converted: Record<string, unknown>, schema: JsonSchema): void {
    if (schema.nullable === true) converted['nullable'] = true;
    for (const key of ['allOf', 'anyOf', 'oneOf'] as const) {
      const list = schema[key];
      if (list !== undefined) converted[key] = list.map((each) => this.#convert(each));
    }
    if (schema.not !== undefined) converted['not'] = this.#convert(schema.not);
  }

  #intOrString(): SchemaObject {
    if (this.#dialect.version === 2) return { type: 'string', format: 'int-or-string' };
    const oneOf = [{ type: 'integer' }, { type: 'string' }];
    return { format: 'int-or-string', oneOf };
  }
}

export function groupVersionKind(
  { group, version }: { readonly group: string; readonly version: string },
  kind: string,
): SchemaObject {
  return { group, kind, version };
}

/** `io.k8s.api.apps.v1.Deployment`; for custom resources the reversed group, as the field does. */
function definitionName(kind: ServedKind, name: string): string {
  const { group, version } = kind;
  const definition = kind.schema?.definition;
  if (definition !== undefined)
    return `${definition.slice(0, definition.lastIndexOf('.'))}.${name}`;
  if (kind.custom) return `${group.split('.').toReversed().join('.')}.${version}.${name}`;
  return `io.k8s.api.${group === '' ? 'core' : (group.split('.', 1)[0] ?? '')}.${version}.${name}`;
}

function mapValues<T, U>(
  record: Readonly<Record<string, T>>,
  change: (value: T) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

const anything: JsonSchema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const text = { type: 'string' };
const texts = { type: 'object', additionalProperties: text };
const time = { type: 'string', format: 'date-time' };

const versionField = {
  ...text,
  description: 'The version of the schema that this object is written in: group/version, or v1',
};
const kindField = { ...text, description: 'The kind of object that this is, in CamelCase' };

const listMeta: SchemaObject = {
  type: 'object',
  description: 'Metadata of a list',
  properties: {
    continue: { ...text, description: 'Set when there is more: pass it to get the next page' },
    remainingItemCount: { type: 'integer', format: 'int64', description: 'How many are left' },
    resourceVersion: { ...text, description: 'The state of the store that the list shows' },
    selfLink: { ...text, description: 'No longer used' },
  },
};

const objectMeta: SchemaObject = {
  type: 'object',
  description: 'Metadata that all stored objects have',
  properties: {
    annotations: { ...texts, description: 'Arbitrary texts that tools keep with the object' },
    creationTimestamp: { ...time, description: 'When the object was created' },
    deletionGracePeriodSeconds: {
      type: 'integer',
      format: 'int64',
      description: 'How long the object may take to end after its deletion was asked for',
    },
    deletionTimestamp: { ...time, description: 'When the object will be or would have been gone' },
    finalizers: {
      type: 'array',
      description: 'Who has to agree before the object is removed',
      items: text,
      'x-kubernetes-list-type': 'set',
      'x-kubernetes-patch-strategy': 'merge',
    },
    generateName: { ...text, description: 'A prefix for a name that the server completes' },
    generation: {
      type: 'integer',
      format: 'int64',
      description: 'Counts the changes of the desired state',
    },
    labels: { ...texts, description: 'Names and values by which objects are selected' },
    managedFields: {
      type: 'array',
      description: 'Which fields were set by whom',
      items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      'x-kubernetes-list-type': 'atomic',
    },
    name: { ...text, description: 'Unique among the objects of its kind in its namespace' },
    namespace: { ...text, description: 'The space within which the name is unique' },
    ownerReferences: {
      type: 'array',
      description: 'The objects without which this one is removed',
      items: {
        type: 'object',
        required: ['apiVersion', 'kind', 'name', 'uid'],
        properties: {
          apiVersion: text,
          blockOwnerDeletion: { type: 'boolean' },
          controller: { type: 'boolean' },
          kind: text,
          name: text,
          uid: text,
        },
        'x-kubernetes-map-type': 'atomic',
      },
      'x-kubernetes-list-map-keys': ['uid'],
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-patch-merge-key': 'uid',
      'x-kubernetes-patch-strategy': 'merge',
    },
    resourceVersion: { ...text, description: 'The version of the object, opaque to clients' },
    selfLink: { ...text, description: 'No longer used' },
    uid: { ...text, description: 'Unique over all objects and all times' },
  },
};
