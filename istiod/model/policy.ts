import type { Labels } from '../krt/filter.ts';
import type { Described } from './metadata.ts';

/** What is kept of an AuthorizationPolicy. The rules stay as they were written until they are translated. */
export interface AuthorizationPolicyRecord extends Described {
  /** Undefined: all workloads of the namespace. */
  readonly selector: Labels | undefined;
  /** It has targetRefs: it is for waypoints, not for node tunnels. */
  readonly targeted: boolean;
  readonly targets: readonly PolicyTarget[];
  readonly dryRun: boolean;
  readonly action: unknown;
  readonly rules: unknown;
}

export interface PolicyTarget {
  /** Empty: the core group. */
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  /** Undefined: that of the policy; no other has any target. */
  readonly namespace?: string | undefined;
}

export type MtlsMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';

/** What is kept of a PeerAuthentication. */
export interface PeerAuthenticationRecord extends Described {
  /** Undefined: the whole namespace, or mesh in the root namespace. */
  readonly selector: Labels | undefined;
  readonly mode: MtlsMode;
  readonly ports: ReadonlyMap<number, MtlsMode>;
}
