import type { IpAddress } from '#common/net/address.ts';

/** What is kept of an EndpointSlice. */
export interface EndpointSliceRecord {
  readonly namespace: string;
  readonly name: string;
  /** The service's name. */
  readonly service: string;
  readonly ports: readonly EndpointPort[];
  /** Pods that the slice names. */
  readonly pods: readonly PodReference[];
  /** Endpoints that are no pods. */
  readonly addresses: readonly EndpointAddress[];
}

export interface EndpointPort {
  readonly name: string;
  readonly number: number;
}

export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EndpointAddress {
  readonly ip: IpAddress;
  readonly ready: boolean;
}
