import { availableMemoryBytes } from '#common/memory.ts';
import type { TunnelOptions } from '#hbone/options.ts';

import type { Config } from './config.ts';
import { admissionLimits } from './proxy/admission.ts';
import type { WorkerSettings } from './worker/protocol.ts';

/** The settings that workers need, from those of the process; `openFilesMax`: its limit of descriptors. */
export function workerSettings(config: Config, openFilesMax: number): WorkerSettings {
  const { keepalive, pool, http2 } = config;
  const tunnels: TunnelOptions = {
    streamWindow: http2.streamWindowBytes,
    connectionWindow: http2.connectionWindowBytes,
    maxFrameSize: http2.frameBytesMax,
    maxConcurrentStreams: 200,
    streamsPerTunnelMax: pool.streamsPerConnectionMax,
    idleTimeoutMs: pool.unusedReleaseMs,
  };
  const idleS = Math.ceil(keepalive.timeMs / 1_000);
  const intervalS = Math.ceil(keepalive.intervalMs / 1_000);
  return {
    proxy: {
      network: config.self.network,
      packetMark: config.inpod.packetMark,
      keepAlive: keepalive.enabled ? { idleS, intervalS, probes: keepalive.retries } : undefined,
      userTimeoutMs: keepalive.userTimeoutEnabled
        ? keepalive.timeMs + keepalive.retries * keepalive.intervalMs
        : undefined,
      originalSource: config.originalSource !== 'never',
      responseBaggage: config.responseBaggage,
      localhostAppTunnel: config.localhostAppTunnel,
    },
    listen: {
      ipv6: config.ipv6Enabled,
      reusePort: config.inpod.portReuse,
      mustBeTransparent: config.originalSource === 'always',
    },
    tunnels,
    onDemand: config.state.kind === 'xds' && config.state.onDemand,
    admission: admissionLimits(openFilesMax, config.workerThreads, availableMemoryBytes()),
    log: config.log,
    policyInfoLogging: config.policyInfoLogging,
  };
}
