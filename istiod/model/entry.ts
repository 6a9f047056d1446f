import type { IpAddress } from '#common/net/address.ts';

import type { Labels } from '../krt/filter.ts';
import type { Described } from './metadata.ts';
import type { Locality } from './place.ts';
import type { ServiceRecord } from './service.ts';

/** Something that serves and is no pod, as ServiceEntries and WorkloadEntries write it. */
export interface EntryEndpoint {
  readonly address: EntryAddress;
  /** Service port name → the port that it listens on. */
  readonly ports: ReadonlyMap<string, number>;
  readonly labels: Labels;
  /** Undefined: the cluster's network. */
  readonly network: string | undefined;
  readonly locality: Locality;
  /** Undefined: 1. */
  readonly weight: number | undefined;
  readonly serviceAccount: string;
}

export type EntryAddress =
  | { readonly kind: 'ip'; readonly ip: IpAddress }
  | { readonly kind: 'hostname'; readonly hostname: string }
  /** Only a gateway knows. */
  | { readonly kind: 'none' };

/** What is kept of a ServiceEntry. */
export interface ServiceEntryRecord extends Described {
  /** One for each host. */
  readonly services: readonly ServiceRecord[];
  readonly endpoints: readonly EntryEndpoint[];
  /** Without endpoints and selector each host stands for itself, found by DNS. */
  readonly byDns: boolean;
}

/** What is kept of a WorkloadEntry; `labels` are those of the object and of its spec. */
export interface WorkloadEntryRecord extends Described {
  readonly endpoint: EntryEndpoint;
  readonly workloadName: string;
}
