import { fromBinary } from '@bufbuild/protobuf';

import {
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '#api/gen/discovery_pb.ts';
import { encodeResource } from '#xds/resource.ts';
import type { ResourceSource } from '#xds/server-stream.ts';

export interface Thing {
  readonly version: string;
  readonly aliases?: readonly string[];
  /** Its parts are told to whoever asks for it. */
  readonly parts?: readonly string[];
}

/** Resources in a map, whose content is their name and version. */
export function thingSource(typeUrl: string, things: Map<string, Thing>): ResourceSource {
  return {
    typeUrl,
    all: () => [...things].map(([name, { version }]) => ({ name, version })),
    encoded: (name, withAliases) => {
      const thing = things.get(name);
      if (thing === undefined) return undefined;
      const { version, aliases = [] } = thing;
      const bytes = Buffer.from(`${name}@${version}`);
      return encodeResource({ typeUrl, name, version, aliases: withAliases ? aliases : [], bytes });
    },
    lookup: (asked) =>
      [...things].flatMap(([name, { aliases = [], parts = [] }]) =>
        name === asked || aliases.includes(asked)
          ? [name, ...parts.filter((part) => things.has(part))]
          : [],
      ),
    always: () => (things.has('local') ? ['local'] : []),
    concerns: (name, asked) =>
      asked.has(name) ||
      (things.get(name)?.aliases ?? []).some((alias) => asked.has(alias)) ||
      [...things].some(([owner, { parts = [] }]) => asked.has(owner) && parts.includes(name)),
  };
}

/** What a response says, in short: `+name@version`, `-name`. */
export function inShort(response: DeltaDiscoveryResponse): readonly string[] {
  return [
    ...response.resources.map(
      ({ resource }) => `+${Buffer.from(resource?.value ?? []).toString()}`,
    ),
    ...response.removedResources.map((name) => `-${name}`),
  ];
}

export function decodeResponse(bytes: Uint8Array): DeltaDiscoveryResponse {
  return fromBinary(DeltaDiscoveryResponseSchema, bytes);
}
