import type { Fetch, Readable } from '../krt/core.ts';
import type { ServiceEntryRecord } from '../model/entry.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayClassRecord, GatewayRecord } from '../model/waypoint.ts';
import { isWaypointClass } from './waypoint-gateways.ts';

/** The groups of what routes and policies refer to. */
export const GATEWAY_GROUP = 'gateway.networking.k8s.io';
export const ENTRY_GROUP = 'networking.istio.io';

/** What routes and policies can be attached to. */
export interface ReferenceInputs {
  readonly services: Readable<ServiceRecord>;
  readonly serviceEntries: Readable<ServiceEntryRecord>;
  readonly gateways: Readable<GatewayRecord>;
  readonly gatewayClasses: Readable<GatewayClassRecord>;
}

/**
 * A Service, or those of an entry's hosts, which have its labels in common: `key` is `namespace/name`. None: there is
 * no such object, or it has no host. Undefined: it is of another kind.
 */
export function fetchServices(
  fetch: Fetch,
  { services, serviceEntries }: ReferenceInputs,
  ref: { readonly group: string; readonly kind: string; readonly key: string },
): readonly ServiceRecord[] | undefined {
  const { group, kind, key } = ref;
  if (group === '' && kind === 'Service') {
    const service = fetch.one(services, key);
    return service === undefined ? [] : [service];
  }
  if (group === ENTRY_GROUP && kind === 'ServiceEntry') {
    return fetch.one(serviceEntries, key)?.services ?? [];
  }
  return undefined;
}

/** Whether gateways of a class are waypoints. */
export function fetchIsWaypointClass(
  fetch: Fetch,
  { gatewayClasses }: ReferenceInputs,
  name: string,
): boolean {
  return isWaypointClass(name, fetch.one(gatewayClasses, name));
}
