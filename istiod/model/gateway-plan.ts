import type { KubeObject } from '#kube/resources.ts';

import type { RouteKind } from './waypoint.ts';

/** What a condition says; when it began to say so and about which generation is added where it is written. */
export interface StatedCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** What a Gateway of ours leads to. */
export interface GatewayPlan {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number | undefined;
  /** What has to be there, to be applied in this order. Empty: nothing of it is made by us. */
  readonly objects: readonly KubeObject[];
  readonly status: GatewayStatus;
}

/** The parts of a Gateway's status that are ours. */
export interface GatewayStatus {
  readonly conditions: readonly StatedCondition[];
  readonly addresses: readonly {
    readonly type: 'Hostname' | 'IPAddress';
    readonly value: string;
  }[];
  readonly listeners: readonly ListenerStatus[];
}

export interface ListenerStatus {
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly RouteKind[];
  readonly conditions: readonly StatedCondition[];
}
