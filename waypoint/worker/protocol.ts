import type { LineBatch } from '#common/log/writer.ts';
import type { MeshDelta } from '#dataplane/state/delta.ts';
import type { TrafficCounts } from '#dataplane/telemetry/metrics.ts';
import type { LogSettings } from '#dataplane/workers/worker-log.ts';
import type { OwnedDescriptors } from '#reactor/owned-descriptors.ts';
import type { TlsMaterial } from '#reactor/tls/context.ts';
import type { Policy } from '../policy/model.ts';
import type { Route } from '../routing/model.ts';
import type { RefusalCounts } from '../telemetry/refusals.ts';
import type { RequestCounts } from '../telemetry/request-metrics.ts';
import type { EndpointUse } from '../upstream/servers.ts';
import type { PlaneSettings } from './plane.ts';

export interface WorkerSettings {
  readonly plane: PlaneSettings;
  readonly log: LogSettings;
}

/** What a worker is born with. */
export interface WorkerData {
  readonly settings: WorkerSettings;
  readonly owned: OwnedDescriptors;
  /** One 32-bit number: the tunnels that it has. Whoever gives it one adds 1, the worker takes it off again. */
  readonly tunnels: SharedArrayBuffer;
}

/** Control → worker, in order. */
export type ToWorker =
  | { readonly type: 'mesh'; readonly delta: MeshDelta }
  | {
      readonly type: 'routes';
      readonly update: readonly Route[];
      readonly remove: readonly string[];
    }
  | {
      readonly type: 'policies';
      readonly update: readonly Policy[];
      readonly remove: readonly string[];
    }
  | { readonly type: 'certificate'; readonly material: TlsMaterial }
  /** An accepted connection to port 15008, the worker's from now on. */
  | { readonly type: 'tunnel'; readonly fd: number }
  | { readonly type: 'log-filter'; readonly filter: string }
  /** `lines` of the log have been taken. */
  | { readonly type: 'log-taken'; readonly lines: number }
  | { readonly type: 'collect' }
  /** Answered with `described`. */
  | { readonly type: 'describe' }
  /** Take nothing new, let what is there finish. Answered with `drained`. */
  | { readonly type: 'drain' }
  | { readonly type: 'cut'; readonly reason: string };

/** What a worker has counted. */
export interface Collected {
  readonly type: 'collected';
  /** Since the last time. */
  readonly requests: RequestCounts;
  readonly tcp: TrafficCounts;
  readonly refusals: RefusalCounts;
  readonly tunnels: number;
  readonly connections: number;
  readonly faults: number;
}

/** What a worker has open, for people. */
export interface Described {
  readonly type: 'described';
  readonly endpoints: readonly EndpointUse[];
}

export type FromWorker =
  | { readonly type: 'drained' }
  | Collected
  | Described
  | { readonly type: 'log'; readonly batch: LineBatch }
  /** Something that the operator should know. */
  | { readonly type: 'report'; readonly problem: string };
