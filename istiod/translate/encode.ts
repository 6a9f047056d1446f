import { hash } from 'node:crypto';

import { create, toBinary } from '@bufbuild/protobuf';

import { type Authorization, AuthorizationSchema } from '#api/gen/authorization_pb.ts';
import { type Policy, PolicySchema, type Route, RouteSchema } from '#api/gen/waypoint_pb.ts';
import {
  AddressSchema,
  type NetworkAddress,
  type Service,
  type Workload,
} from '#api/gen/workload_pb.ts';
import { ipFromBytes } from '#common/net/address.ts';
import { cidrFromBytes, isHostCidr } from '#common/net/cidr.ts';

import type {
  AddressBlock,
  AddressResource,
  PolicyResource,
  WaypointResource,
} from '../model/resource.ts';

// 64 bits: versions only have to differ between contents of one name.
const VERSION_DIGITS = 16;

export function workloadResource(workload: Workload): AddressResource {
  const message = create(AddressSchema, { type: { case: 'workload', value: workload } });
  return {
    name: workload.uid,
    kind: 'workload',
    aliases: workload.addresses.map((bytes) => alias(workload.network, bytes, undefined)),
    blocks: [],
    node: workload.node,
    services: Object.keys(workload.services),
    ...versioned(toBinary(AddressSchema, message)),
  };
}

export function serviceResource(service: Service): AddressResource {
  const message = create(AddressSchema, { type: { case: 'service', value: service } });
  return {
    name: `${service.namespace}/${service.hostname}`,
    kind: 'service',
    aliases: service.addresses.map(addressAlias),
    blocks: service.addresses.flatMap(blockOf),
    node: '',
    services: [],
    ...versioned(toBinary(AddressSchema, message)),
  };
}

export function policyResource(policy: Authorization): PolicyResource {
  return {
    name: `${policy.namespace}/${policy.name}`,
    ...versioned(toBinary(AuthorizationSchema, policy)),
  };
}

export function routeResource(waypoint: string, route: Route): WaypointResource {
  const name = `${route.kind}/${route.namespace}/${route.name}`;
  return { waypoint, name, ...versioned(toBinary(RouteSchema, route)) };
}

export function waypointPolicyResource(waypoint: string, policy: Policy): WaypointResource {
  const name = `${policy.namespace}/${policy.name}`;
  return { waypoint, name, ...versioned(toBinary(PolicySchema, policy)) };
}

function versioned(bytes: Uint8Array): { bytes: Uint8Array; version: string } {
  return { bytes, version: hash('sha256', bytes, 'hex').slice(0, VERSION_DIGITS) };
}

function blockOf({ network, address, length }: NetworkAddress): readonly AddressBlock[] {
  if (length === undefined) return [];
  const cidr = cidrFromBytes(address, length);
  return cidr === undefined || isHostCidr(cidr) ? [] : [{ network, cidr }];
}

function addressAlias({ network, address, length }: NetworkAddress): string {
  return alias(network, address, length);
}

function alias(network: string, bytes: Uint8Array, prefixLength: number | undefined): string {
  const ip = `${network}/${ipFromBytes(bytes) ?? ''}`;
  return prefixLength === undefined || prefixLength === bytes.length * 8
    ? ip
    : `${ip}/${prefixLength}`;
}
