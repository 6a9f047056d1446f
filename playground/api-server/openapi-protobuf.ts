import type { OpenApiV2 } from './openapi.ts';
import type { SchemaObject } from './openapi-schema.ts';

/**
 * Writes an OpenAPI v2 document in the protocol-buffer form that kubectl asks for: the messages of
 * package openapi.v2 as gnostic publishes them. Field numbers are those of that package; only the
 * fields that {@link OpenApiV2} can have are written.
 */
export function encodeOpenApiV2(document: OpenApiV2): Buffer {
  return message(
    text(1, document.swagger),
    field(2, message(text(1, document.info.title), text(2, document.info.version))),
    field(8, message(...named(2, document.paths, pathItem))),
    field(9, message(...named(1, document.definitions, schema))),
  );
}

/** Protocol buffers' wire types (encoding, "Message Structure"). */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const NOTHING = Buffer.alloc(0);

/** Operation fields of PathItem. */
const OPERATIONS = { get: 2, put: 3, post: 4, delete: 5, patch: 8 } as const;
/** Plain fields of Schema, by what they hold. */
const SCHEMA_TEXTS = { $ref: 1, format: 2, title: 3, description: 4, pattern: 13 } as const;
const SCHEMA_DOUBLES = { multipleOf: 6, maximum: 7, minimum: 9 } as const;
const SCHEMA_BOOLEANS = { exclusiveMaximum: 8, exclusiveMinimum: 10, uniqueItems: 16 } as const;
const SCHEMA_INTEGERS = {
  maxLength: 11,
  minLength: 12,
  maxItems: 14,
  minItems: 15,
  maxProperties: 17,
  minProperties: 18,
} as const;

function pathItem(item: SchemaObject): Buffer {
  return message(
    ...Object.entries(OPERATIONS).map(([name, number]) => {
      const operation = item[name];
      return operation === undefined
        ? NOTHING
        : field(number, encodeOperation(operation as SchemaObject));
    }),
  );
}

function encodeOperation(operation: SchemaObject): Buffer {
  const { operationId, produces, consumes, parameters, responses } = operation as {
    readonly operationId: string;
    readonly produces: readonly string[];
    readonly consumes: readonly string[];
    readonly parameters: readonly SchemaObject[];
    readonly responses: Readonly<Record<string, SchemaObject>>;
  };
  return message(
    text(5, operationId),
    ...produces.map((type) => text(6, type)),
    ...consumes.map((type) => text(7, type)),
    // ParametersItem.parameter
    ...parameters.map((parameter) => field(8, field(1, encodeParameter(parameter)))),
    field(9, message(...named(1, responses, (response) => field(1, encodeResponse(response))))),
    ...extensions(13, operation),
  );
}

function encodeParameter(parameter: SchemaObject): Buffer {
  const { name, in: where, type, schema: body } = parameter;
  const start = message(text(2, String(name)), text(3, String(where)));
  if (body !== undefined)
    return field(1, message(start, bool(4, true), field(5, schema(body as SchemaObject))));
  // NonBodyParameter.query_parameter_sub_schema: name is its fourth field, the place its second.
  return field(
    2,
    field(
      3,
      message(text(2, String(where)), text(4, String(name)), text(6, String(type)), bool(20, true)),
    ),
  );
}

function encodeResponse(response: SchemaObject): Buffer {
  const { description, schema: body } = response as { description: string; schema: SchemaObject };
  return message(text(1, description), field(2, field(1, schema(body))));
}

function schema(value: SchemaObject): Buffer {
  const {
    type,
    items,
    properties,
    additionalProperties,
    required,
    enum: allowed,
  } = value as {
    readonly type?: string;
    readonly items?: SchemaObject;
    readonly properties?: Readonly<Record<string, SchemaObject>>;
    readonly additionalProperties?: SchemaObject | boolean;
    readonly required?: readonly string[];
    readonly enum?: readonly unknown[];
  };
  return message(
    ...plainFields(value),
    value['default'] === undefined ? NOTHING : field(5, any(value['default'])),
    ...(required ?? []).map((name) => text(19, name)),
    ...(allowed ?? []).map((each) => field(20, any(each))),
    additionalProperties === undefined ? NOTHING : field(21, additional(additionalProperties)),
    type === undefined ? NOTHING : field(22, text(1, type)),
    items === undefined ? NOTHING : field(23, field(1, schema(items))),
    properties === undefined ? NOTHING : field(25, message(...named(1, properties, schema))),
    ...extensions(31, value),
  );
}

function plainFields(value: SchemaObject): readonly Buffer[] {
  return [
    ...pick(value, SCHEMA_TEXTS).map(([number, each]) => text(number, each as string)),
    ...pick(value, SCHEMA_DOUBLES).map(([number, each]) => double(number, each as number)),
    ...pick(value, SCHEMA_BOOLEANS).map(([number, each]) => bool(number, each as boolean)),
    ...pick(value, SCHEMA_INTEGERS).map(([number, each]) => integer(number, each as number)),
  ];
}

/** Numbers and values of those fields that a schema has. */
function pick(
  value: SchemaObject,
  numbers: Readonly<Record<string, number>>,
): readonly (readonly [number, unknown])[] {
  return Object.entries(numbers).flatMap(([name, number]) =>
    value[name] === undefined ? [] : [[number, value[name]] as const],
  );
}

function additional(value: SchemaObject | boolean): Buffer {
  return typeof value === 'boolean' ? bool(2, value) : field(1, schema(value));
}

/** The `x-…` members as NamedAny. */
function extensions(number: number, value: SchemaObject): readonly Buffer[] {
  return Object.entries(value)
    .filter(([name]) => name.startsWith('x-'))
    .map(([name, content]) => field(number, message(text(1, name), field(2, any(content)))));
}

/** Any: its `yaml` field, and JSON is YAML. */
function any(value: unknown): Buffer {
  return text(2, JSON.stringify(value));
}

/** A map as repeated messages of name and value. */
function named(
  number: number,
  map: Readonly<Record<string, SchemaObject>>,
  write: (value: SchemaObject) => Buffer,
): readonly Buffer[] {
  return Object.entries(map).map(([name, value]) =>
    field(number, message(text(1, name), field(2, write(value)))),
  );
}

function message(...fields: readonly Buffer[]): Buffer {
  return Buffer.concat(fields);
}

function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([key(number, LENGTH_DELIMITED), varint(content.length), content]);
}

function text(number: number, value: string): Buffer {
  return field(number, Buffer.from(value));
}

function bool(number: number, value: boolean): Buffer {
  return Buffer.concat([key(number, VARINT), varint(value ? 1 : 0)]);
}

function integer(number: number, value: number): Buffer {
  return Buffer.concat([key(number, VARINT), varint(value)]);
}

function double(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(number, FIXED64), bytes]);
}

function key(number: number, wireType: number): Buffer {
  return varint(number * 8 + wireType);
}

/** Non-negative numbers only: lengths, field numbers, and counts in schemas. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...bytes, rest]);
}
