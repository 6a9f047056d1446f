import { fromBinary } from '@bufbuild/protobuf';

import { AuthorizationSchema } from '#api/gen/authorization_pb.ts';
import { AddressSchema } from '#api/gen/workload_pb.ts';

import { keyOfPolicy, type Policy } from './authorization.ts';
import { type Service, serviceKey } from './service.ts';
import { policyFromWire } from './wire-policy.ts';
import { serviceFromWire } from './wire-service.ts';
import { WireProblems } from './wire-values.ts';
import { workloadFromWire } from './wire-workload.ts';
import type { Workload } from './workload.ts';

export interface RefusedResource {
  readonly kind: 'refused';
  /** For whoever runs the control plane. */
  readonly reason: string;
}

export type DecodedAddress =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service }
  | RefusedResource;

export type DecodedPolicy = { readonly kind: 'policy'; readonly policy: Policy } | RefusedResource;

/**
 * Reads an `istio.workload.Address`. `name`: what the resource is called on the wire, by which it will be
 * removed: it has to be the key of what is in it.
 */
export function decodeAddress(name: string, bytes: Uint8Array): DecodedAddress {
  const problems = new WireProblems();
  const message = parsed(AddressSchema, bytes, problems);
  const type = message?.type;
  if (type?.case === 'workload') {
    const workload = workloadFromWire(type.value, problems);
    checkName(name, workload.uid, problems);
    return refusal(problems) ?? { kind: 'workload', workload };
  }
  if (type?.case === 'service') {
    const service = serviceFromWire(type.value, problems);
    checkName(name.toLowerCase(), serviceKey(service).toLowerCase(), problems);
    return refusal(problems) ?? { kind: 'service', service };
  }
  if (message !== undefined) problems.add('it is neither a workload nor a service');
  return refusal(problems) ?? { kind: 'refused', reason: '' };
}

/** Reads an `istio.security.Authorization`; `name` as with {@link decodeAddress}. */
export function decodePolicy(name: string, bytes: Uint8Array): DecodedPolicy {
  const problems = new WireProblems();
  const message = parsed(AuthorizationSchema, bytes, problems);
  if (message === undefined) return refusal(problems) ?? { kind: 'refused', reason: '' };
  const policy = policyFromWire(message, problems);
  checkName(name, keyOfPolicy(policy), problems);
  return refusal(problems) ?? { kind: 'policy', policy };
}

function parsed<Schema extends typeof AddressSchema | typeof AuthorizationSchema>(
  schema: Schema,
  bytes: Uint8Array,
  problems: WireProblems,
): ReturnType<typeof fromBinary<Schema>> | undefined {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    problems.add(`not a ${schema.typeName}: ${error instanceof Error ? error.message : ''}`);
    return undefined;
  }
}

function checkName(name: string, key: string, problems: WireProblems): void {
  if (name !== key) problems.add(`its key is ${JSON.stringify(key)}`);
}

function refusal(problems: WireProblems): RefusedResource | undefined {
  const reason = problems.text;
  return reason === undefined ? undefined : { kind: 'refused', reason };
}
