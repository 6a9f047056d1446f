import type { Cidr } from '#common/net/cidr.ts';

/** A block of addresses on a network. */
export interface AddressBlock {
  readonly network: string;
  readonly cidr: Cidr;
}

/** A workload or a service, as it is sent. */
export interface AddressResource {
  /** Its name on the wire: a workload's uid, or a service's `namespace/hostname`. */
  readonly name: string;
  readonly kind: 'workload' | 'service';
  /** Other names that clients ask by: `network/address`. */
  readonly aliases: readonly string[];
  /** Blocks of addresses that lead to it; only services have some. */
  readonly blocks: readonly AddressBlock[];
  /** The node that it runs on; empty when it runs on none. */
  readonly node: string;
  /** A workload's services, by their names on the wire. */
  readonly services: readonly string[];
  /** The Address message. */
  readonly bytes: Uint8Array;
  /** Changes exactly when the bytes do. */
  readonly version: string;
}

/** A policy, as it is sent. */
export interface PolicyResource {
  /** `namespace/name`. */
  readonly name: string;
  /** The Authorization message. */
  readonly bytes: Uint8Array;
  readonly version: string;
}

/** A route or a layer 7 policy, as it is sent to one waypoint. */
export interface WaypointResource {
  /** Whose: `namespace/name`. */
  readonly waypoint: string;
  /** What it is called on the wire: `HTTPRoute/namespace/name`, or `namespace/name` of a policy. */
  readonly name: string;
  /** The Route or Policy message. */
  readonly bytes: Uint8Array;
  readonly version: string;
}

/** How it is told from those of other waypoints. */
export function waypointResourceKey({
  waypoint,
  name,
}: Pick<WaypointResource, 'waypoint' | 'name'>): string {
  return `${waypoint}|${name}`;
}

/** Two with the same name and version have the same content. */
export function sameVersion(
  one: { readonly name: string; readonly version: string },
  other: { readonly name: string; readonly version: string },
): boolean {
  return one.version === other.version && one.name === other.name;
}
