import type { Readable } from 'node:stream';

import { parseDocument } from 'yaml';

import { badRequest, requestTooLarge, unsupportedMediaType } from './errors.ts';
import { JSON_TYPE, PROTOBUF_TYPE, readMediaType, YAML_TYPE } from './negotiation.ts';
import { decodeProtobuf } from './protobuf/decode.ts';

/** What a real API server takes at most. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;
/** Aliases in YAML multiply: this many resolve, more are an attack. */
const YAML_ALIASES_MAX = 100;

export type JsonObject = Record<string, unknown>;

/** Reads a request's body to its end. @throws ApiError 413 */
export async function readBody(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  // Not destroyed when we stop reading: the refusal still has to go out on the same connection.
  const iterator = stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  for await (const chunk of iterator) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw requestTooLarge(BODY_BYTES_MAX);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/**
 * The object in a body of JSON, YAML or Kubernetes' protobuf; `contentType` undefined means JSON.
 *
 * @throws ApiError 400 for what cannot be read, 415 for anything else
 */
export function decodeObject(bytes: Buffer, contentType: string | undefined): JsonObject {
  const { type } = readMediaType(contentType ?? JSON_TYPE);
  const value = decodeValue(bytes, type);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badRequest(
      `couldn't get version/kind; json parse error: want an object, not ${Array.isArray(value) ? 'a list' : typeof value}`,
    );
  return value as JsonObject;
}

/** YAML, which JSON is a part of: the body of an apply. @throws ApiError 400 */
export function decodeYaml(text: string): unknown {
  const document = parseDocument(text, { uniqueKeys: true, merge: true });
  const [problem] = document.errors;
  if (problem !== undefined)
    throw badRequest(`error decoding YAML: ${problem.message.split('\n')[0] ?? ''}`);
  try {
    return document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
  } catch (error) {
    throw badRequest(
      `error decoding YAML: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** JSON. @throws ApiError 400 */
export function decodeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(
      `couldn't get version/kind; json parse error: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function decodeValue(bytes: Buffer, type: string): unknown {
  switch (type) {
    case JSON_TYPE:
      return decodeJson(bytes.toString('utf8'));
    case YAML_TYPE:
    case 'text/yaml':
    case 'application/x-yaml':
      return decodeYaml(bytes.toString('utf8'));
    case PROTOBUF_TYPE:
      return decodeProtobuf(bytes);
    default:
      throw unsupportedMediaType([JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE]);
  }
}
