import type { IpAddress } from '#common/net/address.ts';

import type { Labels } from '../krt/filter.ts';
import type { Described } from './metadata.ts';

/** What is kept of a Gateway (Gateway API). */
export interface GatewayRecord extends Described {
  readonly uid: string;
  readonly generation: number | undefined;
  /** It is about to go: nothing more is to be made for it. */
  readonly deleting: boolean;
  readonly annotations: Labels;
  readonly className: string;
  /** `spec.addresses`, as they are written. */
  readonly wantedAddresses: readonly { readonly type: string; readonly value: string }[];
  /** `spec.infrastructure`. Undefined labels and annotations: those of the gateway. */
  readonly infrastructure: {
    readonly labels: Labels | undefined;
    readonly annotations: Labels | undefined;
    readonly parametersRef: string | undefined;
  };
  /** In the status. */
  readonly addresses: readonly GatewayRecordAddress[];
  readonly listeners: readonly GatewayListener[];
  /** Annotation `ambient.istio.io/waypoint-inbound-binding`. */
  readonly inboundBinding: string | undefined;
}

export type GatewayRecordAddress =
  | { readonly kind: 'hostname'; readonly hostname: string }
  | { readonly kind: 'ip'; readonly ip: IpAddress };

export interface GatewayListener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly from: AllowedFrom;
  /** Kinds of routes that `allowedRoutes` names. */
  readonly kinds: readonly RouteKind[];
}

export interface RouteKind {
  readonly group: string;
  readonly kind: string;
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
  readonly controllerName: string;
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
