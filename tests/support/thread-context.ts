import { RateLimitedLines } from '#common/log/rate-limit.ts';
import type { MeshStore } from '#dataplane/state/store.ts';
import type { AccessEvent, AccessRecord } from '#dataplane/telemetry/access-log.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { defaultTunnelOptions } from '#hbone/options.ts';
import { STAGING_BYTES } from '#hbone/tunnel.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab, SlabPool } from '#reactor/memory.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';
import {
  type AdmissionLimits,
  admissionLimits,
  threadAdmission,
} from '#ztunnel/proxy/admission.ts';
import { Connections } from '#ztunnel/proxy/connections.ts';
import type { DemandSource, ThreadContext } from '#ztunnel/proxy/context.ts';
import { Identities } from '#ztunnel/worker/identities.ts';

export interface Written extends AccessRecord {
  readonly event: AccessEvent;
}

/** What the connections of a data worker share, without the worker. Access lines are kept in `written`. */
export interface TestThread extends ThreadContext {
  readonly written: Written[];
}

export interface TestThreadOptions {
  /** Where other limits than those of a real process hold. */
  readonly limits?: Partial<AdmissionLimits>;
  /** Default: the whole mesh is known. */
  readonly demands?: DemandSource;
  /** Default: a report fails the test. */
  readonly report?: (problem: string) => void;
}

export function threadContext(
  loop: Loop,
  mesh: MeshStore,
  { limits, report = fail, demands }: TestThreadOptions = {},
): TestThread {
  const written: Written[] = [];
  const admission = threadAdmission({ ...admissionLimits(Infinity, 1, Infinity), ...limits });
  return {
    loop,
    mesh,
    written,
    scratch: allocateSlab(65_536),
    tunnels: {
      loop,
      buffers: allocateTlsBuffers(),
      staging: new SlabPool(STAGING_BYTES, 1),
      options: defaultTunnelOptions,
      ending: new Set(),
    },
    identities: new Identities(loop, () => undefined),
    connections: new Connections(mesh, admission.connections),
    demands,
    settings: {
      network: '',
      packetMark: undefined,
      keepAlive: undefined,
      userTimeoutMs: undefined,
      originalSource: true,
      responseBaggage: true,
      localhostAppTunnel: true,
    },
    admission,
    metrics: new TrafficMetrics(),
    access: {
      wants: () => true,
      write: (record, event) => written.push({ ...structuredClone(record), event }),
    },
    report,
    repeated: new RateLimitedLines(report),
  };
}

function fail(problem: string): never {
  throw new Error(problem);
}
