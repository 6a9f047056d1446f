import type { IpAddress } from '#common/net/address.ts';

import type { Labels } from '../krt/filter.ts';
import type { Described } from './metadata.ts';

/** What is kept of a Gateway (Gateway API). */
export interface GatewayRecord extends Described {
  readonly className: string;
  readonly addresses: readonly GatewayRecordAddress[];
  readonly listeners: readonly GatewayListener[];
  /** Annotation `ambient.istio.io/waypoint-inbound-binding`. */
  readonly inboundBinding: string | undefined;
}

export type GatewayRecordAddress =
  | { readonly kind: 'hostname'; readonly hostname: string }
  | { readonly kind: 'ip'; readonly ip: IpAddress };

export interface GatewayListener {
  readonly port: number;
  readonly protocol: string;
  readonly from: AllowedFrom;
}

/** From which namespaces objects may attach. */
export type AllowedFrom =
  | { readonly kind: 'all' }
  | { readonly kind: 'same' }
  | { readonly kind: 'none' }
  | { readonly kind: 'selector'; readonly matches: NamespaceSelector };

/** metav1.LabelSelector, as data. */
export interface NamespaceSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** What is kept of a GatewayClass. */
export interface GatewayClassRecord {
  readonly name: string;
  readonly labels: Labels;
  readonly inboundBinding: string | undefined;
}

/** A gateway that services and workloads can be sent through: it has an address. */
export interface Waypoint {
  readonly namespace: string;
  readonly name: string;
  readonly address: GatewayRecordAddress;
  readonly serves: 'service' | 'workload' | 'all' | 'none';
  readonly from: AllowedFrom;
  /** How its own pods want to be reached: `PROXY/15088`. */
  readonly inboundBinding: string | undefined;
}
