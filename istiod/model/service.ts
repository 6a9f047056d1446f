import type { AppProtocol, Service_Visibility } from '#api/gen/workload_pb.ts';
import type { IpAddress } from '#common/net/address.ts';

import type { Labels } from '../krt/filter.ts';
import type { Described } from './metadata.ts';

/** A host name with what belongs to it, from a Service or from one host of a ServiceEntry. */
export interface ServiceRecord extends Described {
  readonly kind: 'Service' | 'ServiceEntry';
  readonly hostname: string;
  /** Undefined: nothing is selected. Never empty. */
  readonly selector: Labels | undefined;
  readonly addresses: readonly ServiceAddress[];
  readonly ports: readonly ServicePort[];
  /** `IPv4`, `IPv6`. */
  readonly families: readonly string[];
  readonly balancing: Balancing;
  readonly subjectAltNames: readonly string[];
  readonly visibility: Service_Visibility;
}

export interface ServiceAddress {
  readonly ip: IpAddress;
  /** Undefined: this one address. */
  readonly prefixLength: number | undefined;
}

export interface ServicePort {
  readonly name: string;
  readonly number: number;
  /** A port number, or the name of a container port. */
  readonly target: number | string;
  readonly protocol: AppProtocol;
}

/** What the object itself says; the namespace may add to it. */
export interface Balancing {
  readonly internalTrafficPolicy: string | undefined;
  readonly trafficDistribution: string | undefined;
  readonly annotation: string | undefined;
  readonly publishNotReady: boolean;
  /** Connections go to the address that was dialled. */
  readonly passthrough: boolean;
}

/** A service that has its host name in its namespace. */
export interface OwnedService {
  readonly record: ServiceRecord;
  /** Of all namespaces with this host name, the one that others mean by it. */
  readonly canonical: boolean;
}

/** `namespace/hostname`: how services are named on the wire. */
export function serviceKey({
  namespace,
  hostname,
}: {
  namespace: string;
  hostname: string;
}): string {
  return `${namespace}/${hostname}`;
}
