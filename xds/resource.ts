import { create, toBinary } from '@bufbuild/protobuf';

import { DeltaDiscoveryResponseSchema, ResourceSchema } from '#api/gen/discovery_pb.ts';

/** The message's name out of its type URL. */
export function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

export interface ResourceFields {
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
  /** The message of that type. */
  readonly bytes: Uint8Array;
}

/** One `resources` entry of a response, with its tag and length: the same bytes for every client. */
export function encodeResource(fields: ResourceFields): Uint8Array {
  const { typeUrl, name, version, aliases, bytes } = fields;
  const resource = toBinary(
    ResourceSchema,
    create(ResourceSchema, {
      name,
      version,
      aliases: [...aliases],
      resource: { typeUrl, value: bytes },
    }),
  );
  const head = lengthPrefix(RESOURCES_TAG, resource.length);
  const framed = new Uint8Array(head.length + resource.length);
  framed.set(head);
  framed.set(resource, head.length);
  return framed;
}

export interface ResponseFields {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersionInfo: string;
  readonly removed: readonly string[];
  /** As {@link encodeResource} makes them. */
  readonly resources: readonly Uint8Array[];
}

/** A DeltaDiscoveryResponse. Fields may stand in any order on the wire, so the entries are put behind. */
export function encodeResponse(fields: ResponseFields): Uint8Array {
  const { typeUrl, nonce, systemVersionInfo, removed, resources } = fields;
  const rest = toBinary(
    DeltaDiscoveryResponseSchema,
    create(DeltaDiscoveryResponseSchema, {
      typeUrl,
      nonce,
      systemVersionInfo,
      removedResources: [...removed],
    }),
  );
  return Buffer.concat([rest, ...resources]);
}

/** Field 2, length-delimited (DeltaDiscoveryResponse.resources). */
const RESOURCES_TAG = 0x12;

function lengthPrefix(tag: number, length: number): readonly number[] {
  const bytes = [tag];
  let rest = length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return bytes;
}
