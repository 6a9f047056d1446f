import type { Described } from './metadata.ts';

export type RouteObjectKind = 'HTTPRoute' | 'GRPCRoute';

/** What is kept of an HTTPRoute or a GRPCRoute. The rules stay as they were written until they are translated. */
export interface RouteRecord extends Described {
  readonly kind: RouteObjectKind;
  readonly generation: number | undefined;
  readonly parentRefs: readonly RouteParentRef[];
  readonly rules: readonly unknown[];
}

export interface RouteParentRef {
  /** Empty: the core group. */
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Undefined: all ports. */
  readonly port: number | undefined;
  /** `sectionName`: of a service, the name of a port. */
  readonly section: string | undefined;
  /** As the author wrote it: who looks for its status compares. */
  readonly written: Readonly<Record<string, unknown>>;
}
