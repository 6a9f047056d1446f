import type { LogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import type { LineBatch } from '#common/log/writer.ts';
import type { MeshDelta } from '#dataplane/state/delta.ts';
import type { LocalPod } from '#dataplane/state/view.ts';
import type { TrafficCounts } from '#dataplane/telemetry/metrics.ts';
import type { TunnelOptions } from '#hbone/options.ts';
import type { OwnedDescriptors } from '#reactor/owned-descriptors.ts';

import type { AdmissionLimits } from '../proxy/admission.ts';
import type { ConnectionDescription, ProxySettings } from '../proxy/context.ts';
import type { IdentityUpdate } from './identities.ts';
import type { PackedPod } from './packed-pod.ts';
import type { ListenSettings } from './pod-listeners.ts';

export interface WorkerSettings {
  readonly proxy: ProxySettings;
  readonly listen: ListenSettings;
  readonly tunnels: TunnelOptions;
  /** The mesh is not known as a whole: what is missing is asked for by name. */
  readonly onDemand: boolean;
  /** Of each worker. */
  readonly admission: AdmissionLimits;
  readonly log: { readonly format: LogFormat; readonly filter: LogFilter };
  /** Log what policies decide at `info` instead of `debug`. */
  readonly policyInfoLogging: boolean;
}

/** What a worker is born with. */
export interface WorkerData {
  readonly settings: WorkerSettings;
  /** What the worker has open, for the control thread to close when it has died. */
  readonly owned: OwnedDescriptors;
}

/** Control → worker, in order. No answer. */
export type Notice =
  | { readonly kind: 'mesh'; readonly delta: MeshDelta }
  | { readonly kind: 'identity'; readonly identity: string; readonly update: IdentityUpdate }
  /** Names that are known now or known not to exist, and such of which nothing is known any more. */
  | {
      readonly kind: 'demands';
      readonly answered: readonly string[];
      readonly forgotten: readonly string[];
    }
  | { readonly kind: 'log-filter'; readonly filter: string }
  /** `lines` of the log have been taken. */
  | { readonly kind: 'log-taken'; readonly lines: number }
  /** Stop accepting, let what is there finish. */
  | { readonly kind: 'drain' }
  /** End everything now. */
  | { readonly kind: 'cut'; readonly reason: string }
  /** A hand-over has failed: go on as before it. */
  | { readonly kind: 'thaw' }
  /** What was adopted is ours now. */
  | { readonly kind: 'go' };

/** Control → worker, each answered once. */
export type Question =
  /** Answer: empty, or why the pod can't be served. The descriptor stays open until `stop-pod` is answered. */
  | {
      readonly kind: 'start-pod';
      readonly uid: string;
      readonly pod: LocalPod;
      readonly netnsFd: number;
    }
  | { readonly kind: 'stop-pod'; readonly uid: string; readonly reason: string }
  /** Run the data path's code until it is compiled. */
  | { readonly kind: 'warm-up' }
  | { readonly kind: 'collect' }
  | { readonly kind: 'describe' }
  /** Freeze and tell all: the first half of a hand-over. */
  | { readonly kind: 'export' }
  /** The other process has it: close our copies. */
  | { readonly kind: 'release' }
  /** Build everything from another process's state, frozen. Descriptors are ours already; `bytes` are wiped. */
  | { readonly kind: 'adopt'; readonly pods: readonly PackedPod[] };

/** What a worker answers to each question. */
export interface Answers {
  readonly 'start-pod': string;
  readonly 'stop-pod': undefined;
  readonly 'warm-up': undefined;
  readonly collect: Collected;
  readonly describe: readonly PodDescription[];
  readonly export: WorkerState;
  readonly release: undefined;
  readonly adopt: undefined;
}

export interface Collected {
  /** Since the last time. */
  readonly counts: TrafficCounts;
  /** Accepted sockets: those of applications here, and of those elsewhere with the tunnels that come in. */
  readonly socketsOpen: { readonly source: number; readonly destination: number };
  readonly connections: number;
  /** Tunnels whose peers have not taken everything: those that have ended, and in a drain all. */
  readonly tunnelsSending: number;
  readonly faults: number;
}

export interface PodDescription {
  readonly uid: string;
  readonly connections: readonly ConnectionDescription[];
}

/** A worker's share of the hand-over. Descriptors are numbers of this process. */
export interface WorkerState {
  readonly pods: readonly PackedPod[];
  readonly collected: Collected;
  /** Connections that could not be moved: closed with the process. */
  readonly leftBehind: number;
}

export type ToWorker =
  | { readonly type: 'notice'; readonly notice: Notice }
  | { readonly type: 'question'; readonly id: number; readonly question: Question };

export type FromWorker =
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  /** The question could not be carried out: a fault of ours. */
  | { readonly type: 'failed'; readonly id: number; readonly reason: string }
  | { readonly type: 'log'; readonly batch: LineBatch }
  /** A connection needs a certificate that is not there. */
  | { readonly type: 'identity-wanted'; readonly identity: string }
  /** Connections wait to hear who has these names. */
  | { readonly type: 'names-wanted'; readonly names: readonly string[] }
  /** Something that the operator should know, for the control thread's log. */
  | { readonly type: 'report'; readonly problem: string };
