import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';

import { PolicySchema, RouteSchema } from '#api/gen/waypoint_pb.ts';
import { decodePolicy } from '#waypoint/policy/decode.ts';
import type { Policy } from '#waypoint/policy/model.ts';
import { decodeRoute } from '#waypoint/routing/decode.ts';
import type { Route } from '#waypoint/routing/model.ts';

export const SHOP = { namespace: 'default', hostname: 'shop.default.svc.cluster.local' };

/** An HTTPRoute of the service `shop`, as it comes over the wire. */
export function route(name: string, given: MessageInitShape<typeof RouteSchema> = {}): Route {
  const key = `HTTPRoute/default/${name}`;
  const decoded = decodeRoute(key, routeBytes(name, given));
  if (decoded.kind === 'refused') throw new Error(decoded.reason);
  return decoded.route;
}

export function routeBytes(
  name: string,
  given: MessageInitShape<typeof RouteSchema> = {},
): Uint8Array {
  const message = create(RouteSchema, {
    kind: 'HTTPRoute',
    namespace: 'default',
    name,
    parents: [{ service: SHOP }],
    ...given,
  });
  return toBinary(RouteSchema, message);
}

export function policy(name: string, given: MessageInitShape<typeof PolicySchema> = {}): Policy {
  const decoded = decodePolicy(`default/${name}`, policyBytes(name, given));
  if (decoded.kind === 'refused') throw new Error(decoded.reason);
  return decoded.policy;
}

export function policyBytes(
  name: string,
  given: MessageInitShape<typeof PolicySchema> = {},
): Uint8Array {
  return toBinary(PolicySchema, create(PolicySchema, { namespace: 'default', name, ...given }));
}

/** Short spellings of what the wire nests. */
export const exact = (value: string): { kind: { case: 'exact'; value: string } } => ({
  kind: { case: 'exact', value },
});
export const prefix = (value: string): { kind: { case: 'prefix'; value: string } } => ({
  kind: { case: 'prefix', value },
});
export const regex = (value: string): { kind: { case: 'regex'; value: string } } => ({
  kind: { case: 'regex', value },
});
