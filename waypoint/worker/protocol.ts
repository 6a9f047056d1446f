import type { LogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import type { LineBatch } from '#common/log/writer.ts';
import type { MeshDelta } from '#dataplane/state/delta.ts';
import type { TrafficCounts } from '#dataplane/telemetry/metrics.ts';
import type { OwnedDescriptors } from '#reactor/owned-descriptors.ts';
import type { TlsMaterial } from '#reactor/tls/context.ts';

import type { RequestCounts } from '../telemetry/request-metrics.ts';
import type { PlaneSettings } from './plane.ts';

export interface WorkerSettings {
  readonly plane: PlaneSettings;
  readonly port: number;
  readonly ipv6: boolean;
  readonly log: { readonly format: LogFormat; readonly filter: LogFilter };
}

/** What a worker is born with. */
export interface WorkerData {
  readonly settings: WorkerSettings;
  readonly owned: OwnedDescriptors;
}

/** A resource as it came: what is made of it can't be sent between threads. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Control → worker, in order. */
export type ToWorker =
  | { readonly type: 'mesh'; readonly delta: MeshDelta }
  | {
      readonly type: 'routes' | 'policies';
      readonly update: readonly NamedBytes[];
      readonly remove: readonly string[];
    }
  | { readonly type: 'certificate'; readonly material: TlsMaterial }
  /** Everything is known: open the listener. Answered with `listening`. */
  | { readonly type: 'listen' }
  | { readonly type: 'log-filter'; readonly filter: string }
  | { readonly type: 'collect' }
  /** Take nothing new, let what is there finish. Answered with `drained`. */
  | { readonly type: 'drain' }
  | { readonly type: 'cut'; readonly reason: string };

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'listening'; readonly problem: string | undefined }
  | { readonly type: 'drained' }
  | {
      readonly type: 'collected';
      /** Since the last time. */
      readonly requests: RequestCounts;
      readonly tcp: TrafficCounts;
      readonly tunnels: number;
      readonly connections: number;
      readonly faults: number;
    }
  | { readonly type: 'log'; readonly batch: LineBatch }
  /** Something that the operator should know. */
  | { readonly type: 'report'; readonly problem: string };
