import { availableParallelism } from 'node:os';

import { type Environment, EnvReader } from '#common/env.ts';
import { type LogFilter, parseLogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import { type IpAddress, parseIp } from '#common/net/address.ts';
import { formatIdentity, type Identity } from '#common/tls/spiffe.ts';
import {
  type CaConfig,
  readCa,
  readXds,
  withoutSecrets,
  type XdsConfig,
} from '#dataplane/control-plane-config.ts';

import { DEFAULT_GIVEN_LIMITS, type GivenLimits } from './worker/limits.ts';

export interface Config {
  readonly network: string;
  readonly clusterId: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  /** The name in our certificate. */
  readonly identity: Identity;
  readonly xds: XdsConfig;
  readonly ca: CaConfig;
  /** Threads that move bytes. */
  readonly workers: number;
  /** For what is in progress when the process is told to end. */
  readonly drainDeadlineMs: number;
  /** What is limited beside what follows from the machine. */
  readonly limits: GivenLimits;
  readonly ipv6Enabled: boolean;
  readonly log: { readonly format: LogFormat; readonly filter: LogFilter };
  readonly ports: {
    readonly tunnel: number;
    readonly admin: number;
    readonly stats: number;
    readonly readiness: number;
  };
}

export type ConfigResult =
  | { readonly kind: 'ok'; readonly config: Config }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** A terabyte: larger is no limit. */
const BODY_BYTES_MAX = 1_000_000_000_000;
const DAY_MS = 86_400_000;
const WORKERS_MAX = 64;
/** Before the container is killed, so that the last lines get out. */
const MARGIN_S = 5;

/** Reads the settings. Refuses, with everything that is wrong, rather than run with one that it could not read. */
export function readConfig(
  env: Environment = process.env,
  machine: { readonly cpus: number } = { cpus: availableParallelism() },
): ConfigResult {
  const reader = new EnvReader(env);
  const required = (name: string): string => {
    const value = reader.text(name);
    if (value === undefined)
      reader.refuse(`${name} is not set: a waypoint must know which pod it is`);
    return value ?? '';
  };
  const ipText = reader.text('INSTANCE_IP');
  const instanceIp: IpAddress | undefined = ipText === undefined ? undefined : parseIp(ipText);
  if (ipText !== undefined && instanceIp === undefined) {
    reader.refuse(`Cannot read INSTANCE_IP=${JSON.stringify(ipText)}: want an IP address`);
  }
  const self = {
    network: reader.textOr('NETWORK', ''),
    clusterId: reader.textOr('ISTIO_META_CLUSTER_ID', 'Kubernetes'),
    podName: required('POD_NAME'),
    podNamespace: required('POD_NAMESPACE'),
    serviceAccount: required('SERVICE_ACCOUNT'),
  };
  const trustDomain = reader.textOr('TRUST_DOMAIN', 'cluster.local');
  const identity = formatIdentity({
    trustDomain,
    namespace: self.podNamespace,
    serviceAccount: self.serviceAccount,
  });
  if (identity === undefined && reader.problems.length === 0) {
    reader.refuse(
      'TRUST_DOMAIN, POD_NAMESPACE and SERVICE_ACCOUNT make no identity: want names of Kubernetes objects',
    );
  }
  const nodeName = reader.text('NODE_NAME');
  const config = {
    ...self,
    identity: identity as Identity,
    xds: readXds(reader, { ...self, nodeName, instanceIp }, 'waypoint'),
    ca: readCa(reader),
    workers: reader.integer('WAYPOINT_WORKER_THREADS', {
      fallback: Math.min(2, machine.cpus),
      min: 1,
      max: WORKERS_MAX,
    }),
    drainDeadlineMs: drainDeadlineMs(reader),
    limits: readLimits(reader),
    ipv6Enabled: reader.boolean('IPV6_ENABLED', true),
    log: readLog(reader),
    ports: {
      tunnel: readPort(reader, 'TUNNEL_PORT', 15_008),
      admin: readPort(reader, 'ADMIN_PORT', 15_000),
      stats: readPort(reader, 'STATS_PORT', 15_020),
      readiness: readPort(reader, 'READINESS_PORT', 15_021),
    },
  };
  if (reader.problems.length > 0) return { kind: 'refused', problems: reader.problems };
  return { kind: 'ok', config };
}

/** Settings for a dump: what may be secret is left out. */
export function describeConfig(config: Config): unknown {
  return {
    ...config,
    xds: withoutSecrets(config.xds),
    ca: withoutSecrets(config.ca),
    log: { format: config.log.format, filter: config.log.filter.text },
  };
}

function drainDeadlineMs(reader: EnvReader): number {
  const graceS = reader.integer('TERMINATION_GRACE_PERIOD_SECONDS', {
    fallback: 30,
    min: 0,
    max: 86_400,
  });
  return Math.max(1, graceS - MARGIN_S) * 1_000;
}

/** Both are off with 0. */
function readLimits(reader: EnvReader): GivenLimits {
  const { streamIdleMs: fallback } = DEFAULT_GIVEN_LIMITS;
  const bodyBytes = reader.integer('WAYPOINT_REQUEST_BODY_MAX_BYTES', {
    fallback: 0,
    min: 0,
    max: BODY_BYTES_MAX,
  });
  const range = { fallback, min: 0, max: 30 * DAY_MS };
  const idleMs = reader.durationMs('WAYPOINT_STREAM_IDLE_TIMEOUT', range);
  return {
    requestBodyBytes: bodyBytes === 0 ? Infinity : bodyBytes,
    streamIdleMs: idleMs === 0 ? Infinity : idleMs,
  };
}

function readLog(reader: EnvReader): Config['log'] {
  const parsed = parseLogFilter(reader.textOr('LOG_LEVEL', 'info'));
  if (parsed.kind === 'refused') reader.refuse(`LOG_LEVEL: ${parsed.problem}`);
  return {
    format: reader.oneOf('LOG_FORMAT', ['text', 'json'], 'text'),
    filter: parsed.kind === 'ok' ? parsed.filter : { text: '', rules: [] },
  };
}

/** These variables are ours: several waypoints on one machine, in tests, need ports of their own. */
function readPort(reader: EnvReader, name: string, fallback: number): number {
  return reader.integer(name, { fallback, min: 1, max: 65_535 });
}
