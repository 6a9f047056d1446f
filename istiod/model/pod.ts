import type { IpAddress } from '#common/net/address.ts';

import type { Described } from './metadata.ts';

/** What is kept of a pod. */
export interface PodRecord extends Described {
  readonly uid: string;
  readonly phase: string;
  /** Empty: it has none yet, or one that can't be read. */
  readonly addresses: readonly IpAddress[];
  readonly node: string;
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
  /** Ready, and not about to go. */
  readonly ready: boolean;
  /** The CNI agent has said that its traffic is redirected. */
  readonly redirected: boolean;
  /** It speaks the tunnel protocol itself. */
  readonly nativeTunnel: boolean;
  /** The Deployment (or other owner) that it belongs to, or its own name. */
  readonly workloadName: string;
  /** Container ports that have a name: what services may refer to. */
  readonly namedPorts: ReadonlyMap<string, number>;
}

/** Finished pods have no traffic, and their addresses are given to others. */
export function isFinished(pod: PodRecord): boolean {
  return pod.phase === 'Succeeded' || pod.phase === 'Failed';
}
