import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

import { badRequest } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { builtinDefinitions, findBuiltinSchema } from '../schema/builtin.ts';
import type { JsonSchema } from '../schema/json-schema.ts';
import { type MessageField, messageFields } from './fields.ts';

/** What every object starts with on the wire, to tell it from JSON: "k8s" and a zero. */
const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0]);
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const NANOS_PER_MS = 1_000_000;
const EMPTY = new Uint8Array();
/** Objects of the API are 15 deep; more is an attack on the stack. */
const DEPTH_MAX = 64;

/**
 * The object in a body of type application/vnd.kubernetes.protobuf, which clients in Go prefer for
 * built-in kinds, as it would be in JSON.
 *
 * @throws ApiError 400
 */
export function decodeProtobuf(bytes: Buffer): JsonObject {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix k8s');
  try {
    return decodeEnvelope(bytes.subarray(MAGIC.length));
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError)
      throw badRequest(`the protobuf message cannot be read: ${error.message}`);
    throw error;
  }
}

/** runtime.Unknown: apiVersion and kind, then the object. */
function decodeEnvelope(bytes: Uint8Array): JsonObject {
  let typeMeta: Uint8Array = EMPTY;
  let raw: Uint8Array = EMPTY;
  eachField(bytes, (number, _type, reader) => {
    if (number === 1) typeMeta = reader.bytes();
    else if (number === 2) raw = reader.bytes();
    else return false;
    return true;
  });
  const { 1: apiVersion = '', 2: kind = '' } = texts(typeMeta);
  const schema = schemaOf(apiVersion, kind);
  return { apiVersion, kind, ...message(schema, schema.definition ?? '', raw, 0) };
}

function schemaOf(apiVersion: string, kind: string): JsonSchema {
  // Every group's version of it is the same.
  const options = kind === 'DeleteOptions';
  const [group = '', version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const schema = options
    ? builtinDefinitions().get(`${META}.DeleteOptions`)
    : findBuiltinSchema(group, version ?? '', kind);
  if (schema?.definition !== undefined && messageFields(schema.definition) !== undefined)
    return schema;
  throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}"`);
}

function message(
  schema: JsonSchema,
  definition: string,
  bytes: Uint8Array,
  depth: number,
): JsonObject {
  if (depth > DEPTH_MAX) throw badRequest('the protobuf message is nested too deep');
  const fields = messageFields(definition);
  const object: JsonObject = {};
  eachField(bytes, (number, type, reader) => {
    const field = fields?.get(number);
    if (field === undefined) return false;
    if (field.inlined !== undefined) {
      Object.assign(object, message(schema, field.inlined, reader.bytes(), depth + 1));
      return true;
    }
    const own = schema.properties?.[field.name];
    if (own === undefined) return false;
    addField(object, field, own, { type, reader, depth });
    return true;
  });
  return object;
}

/** Where a value is read from. */
interface Place {
  readonly type: WireType;
  readonly reader: BinaryReader;
  readonly depth: number;
}

function addField(
  object: JsonObject,
  { name, keepsEmpty }: MessageField,
  schema: JsonSchema,
  place: Place,
): void {
  if (schema.type === 'array') {
    const list = (object[name] ??= []) as unknown[];
    list.push(...items(schema.items ?? {}, place));
    return;
  }
  if (typeof schema.additionalProperties === 'object') {
    const map = (object[name] ??= {}) as JsonObject;
    addEntry(map, schema.additionalProperties, place);
    return;
  }
  const read = value(schema, place);
  const isEmpty = read === '' || read === 0 || read === false;
  if (read === undefined || (isEmpty && !keepsEmpty)) return;
  object[name] = read;
}

/** One item, or several: lists of numbers may be packed. */
function items(schema: JsonSchema, { type, reader, depth }: Place): readonly unknown[] {
  const packed = schema.type === 'integer' && type === WireType.LengthDelimited;
  if (!packed) return [value(schema, { type, reader, depth })];
  const inner = new BinaryReader(reader.bytes());
  const numbers: unknown[] = [];
  while (inner.pos < inner.len) numbers.push(Number(inner.int64()));
  return numbers;
}

/** An entry of a map is a message of a key and a value. */
function addEntry(map: JsonObject, schema: JsonSchema, { reader, depth }: Place): void {
  let key = '';
  let found: unknown;
  eachField(reader.bytes(), (number, type, inner) => {
    if (number === 1) key = inner.string();
    else if (number === 2) found = entryValue(schema, { type, reader: inner, depth: depth + 1 });
    else return false;
    return true;
  });
  if (key === '__proto__') throw badRequest('a field cannot be named "__proto__"');
  map[key] = found ?? (schema.type === 'string' ? '' : {});
}

/** A list as the value of a map is a message with the items as its first field. */
function entryValue(schema: JsonSchema, place: Place): unknown {
  if (schema.type !== 'array') return value(schema, place);
  const list: unknown[] = [];
  eachField(place.reader.bytes(), (number, type, reader) => {
    if (number !== 1) return false;
    list.push(...items(schema.items ?? {}, { type, reader, depth: place.depth }));
    return true;
  });
  return list;
}

function value(schema: JsonSchema, { reader, depth }: Place): unknown {
  const { definition = '', format } = schema;
  if (format === 'date-time') return timeText(reader.bytes(), definition.endsWith('MicroTime'));
  if (definition.endsWith('.Quantity')) return texts(reader.bytes())[1] ?? '0';
  if (definition.endsWith('.IntOrString')) return intOrString(reader.bytes());
  switch (schema.type ?? '') {
    case 'string':
      if (format === 'byte') return Buffer.from(reader.bytes()).toString('base64');
      return reader.string();
    case 'boolean':
      return reader.bool();
    case 'integer':
      return Number(reader.int64());
    case 'number':
      return reader.double();
    case 'object':
      return message(schema, definition, reader.bytes(), depth + 1);
    default:
      return rawJson(reader.bytes());
  }
}

/** JSON inside of protobuf: extensions and managed fields. */
function rawJson(bytes: Uint8Array): unknown {
  const { 1: text = '' } = texts(bytes);
  return text === '' ? undefined : (JSON.parse(text) as unknown);
}

function intOrString(bytes: Uint8Array): number | string {
  let type = 0;
  let number = 0;
  let text = '';
  eachField(bytes, (field, _type, reader) => {
    if (field === 1) type = Number(reader.int64());
    else if (field === 2) number = Number(reader.int64());
    else if (field === 3) text = reader.string();
    else return false;
    return true;
  });
  return type === 0 ? number : text;
}

/** Seconds and nanoseconds as RFC 3339; undefined for the time that stands for none. */
function timeText(bytes: Uint8Array, micro: boolean): string | undefined {
  let seconds = 0;
  let nanos = 0;
  eachField(bytes, (field, _type, reader) => {
    if (field === 1) seconds = Number(reader.int64());
    else if (field === 2) nanos = Number(reader.int64());
    else return false;
    return true;
  });
  if (bytes.length === 0) return undefined;
  const date = new Date(seconds * 1000 + Math.trunc(nanos / NANOS_PER_MS));
  if (Number.isNaN(date.getTime())) throw badRequest('a time of the protobuf message is none');
  const [whole = ''] = date.toISOString().split('.');
  const micros = String(Math.trunc(nanos / 1000)).padStart(6, '0');
  return micro ? `${whole}.${micros}Z` : `${whole}Z`;
}

/** The texts of a message that has nothing else, by number. */
function texts(bytes: Uint8Array): Record<number, string> {
  const found: Record<number, string> = {};
  eachField(bytes, (number, type, reader) => {
    if (type !== WireType.LengthDelimited) return false;
    found[number] = reader.string();
    return true;
  });
  return found;
}

/** Calls `read` for each field; one that it does not read is skipped. */
function eachField(
  bytes: Uint8Array,
  read: (number: number, type: WireType, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (!read(number, type, reader)) reader.skip(type, number);
  }
}
