import { availableParallelism } from 'node:os';
import type { Environment } from '#common/env.ts';
import { EnvReader } from '#common/env.ts';
import type { LogFilter } from '#common/log/filter.ts';
import { parseLogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import type { IpAddress } from '#common/net/address.ts';
import { parseIp } from '#common/net/address.ts';
import {
  type CaConfig,
  isXdsWanted,
  readCa,
  readXds,
  withoutSecrets,
  type XdsConfig,
} from '#dataplane/control-plane-config.ts';
import { readWorkerThreads } from './worker-threads.ts';

/** Who this process is. */
export interface SelfConfig {
  /** The network's id; empty when there is only one. */
  readonly network: string;
  readonly nodeName: string | undefined;
  readonly clusterId: string;
  readonly trustDomain: string | undefined;
  readonly instanceIp: IpAddress | undefined;
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly serviceAccount: string | undefined;
}

/** Where workloads, services and policies come from. */
export type StateSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'inline'; readonly text: string }
  | XdsConfig;

export interface InpodConfig {
  readonly agentSocketPath: string;
  /**
   * `HANDOVER_UDS` (ours): the SEQPACKET socket for the successor process. By default it is next to
   * the agent's; an empty value means that connections are not handed over.
   */
  readonly handOverSocketPath: string | undefined;
  readonly packetMark: number;
  readonly portReuse: boolean;
}

export interface KeepaliveConfig {
  readonly enabled: boolean;
  readonly timeMs: number;
  readonly intervalMs: number;
  readonly retries: number;
  readonly userTimeoutEnabled: boolean;
}

export interface PoolConfig {
  readonly streamsPerConnectionMax: number;
  readonly unusedReleaseMs: number;
}

export interface Http2Config {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly frameBytesMax: number;
}

export interface Config {
  readonly self: SelfConfig;
  readonly state: StateSource;
  readonly ca: CaConfig;
  readonly inpod: InpodConfig;
  readonly keepalive: KeepaliveConfig;
  readonly pool: PoolConfig;
  readonly http2: Http2Config;
  /** Show the application the client's address; `auto`: where the kernel lets us, `always`: or don't serve the pod. */
  readonly originalSource: 'auto' | 'always' | 'never';
  readonly localhostAppTunnel: boolean;
  /** Also gates reading the baggage of inbound requests. */
  readonly responseBaggage: boolean;
  readonly ipv6Enabled: boolean;
  /** Log policy decisions at `info` instead of `debug`. */
  readonly policyInfoLogging: boolean;
  readonly workerThreads: number;
  readonly drainDeadlineMs: number;
  /**
   * After a successor has taken over, wait for the signal to end instead of ending at once: in a cluster the
   * ended container would be started again, and take everything back.
   */
  readonly waitAfterHandOver: boolean;
  readonly log: { readonly format: LogFormat; readonly filter: LogFilter };
  readonly ports: { readonly admin: number; readonly stats: number; readonly readiness: number };
}

export type ConfigResult =
  | { readonly kind: 'ok'; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
// Timers of the runtime can't wait longer than 2^31 - 1 ms, about 24.8 days.
const DURATION_MS_MAX = 24 * 24 * HOUR_MS;

/**
 * Reads the settings. Refuses, with everything that is wrong, rather than run with a setting that it
 * could not read or with a request for safety that it could not grant; settings that are for parts
 * which this program does not have become warnings.
 */
export function readConfig(
  env: Environment = process.env,
  machine: { readonly cpus: number } = { cpus: availableParallelism() },
): ConfigResult {
  const reader = new EnvReader(env);
  const warnings: string[] = [];
  refuseWhatIsNotServed(reader);
  warnAboutWhatIsNotUsed(reader, warnings);
  const self = readSelf(reader);
  const config: Config = {
    self,
    state: readStateSource(reader, self),
    ca: readCa(reader),
    inpod: readInpod(reader),
    keepalive: readKeepalive(reader),
    pool: readPool(reader),
    http2: readHttp2(reader),
    originalSource: readOriginalSource(reader),
    localhostAppTunnel: reader.boolean('LOCALHOST_APP_TUNNEL', true),
    responseBaggage: reader.boolean('ENABLE_RESPONSE_BAGGAGE', true),
    ipv6Enabled: reader.boolean('IPV6_ENABLED', true),
    policyInfoLogging: reader.boolean('AUTHZ_POLICY_INFO_LOGGING', false),
    workerThreads: readWorkerThreads(reader, machine.cpus),
    drainDeadlineMs: readDrainDeadline(reader),
    waitAfterHandOver: reader.text('KUBERNETES_SERVICE_HOST') !== undefined,
    log: readLog(reader),
    ports: readPorts(reader),
  };
  if (reader.problems.length > 0) return { kind: 'refused', problems: reader.problems };
  return { kind: 'ok', config: deepFreeze(config), warnings };
}

/**
 * Settings for a dump: maps as objects, and what may be secret (an inline token, header values)
 * left out.
 */
export function describeConfig(config: Config): unknown {
  const { ca, state } = config;
  return {
    ...config,
    state: state.kind === 'xds' ? withoutSecrets(state) : state,
    ca: withoutSecrets(ca),
    log: { format: config.log.format, filter: config.log.filter.text },
  };
}

/** Variables that ask for something which we don't have and whose absence would be a surprise. */
function refuseWhatIsNotServed(reader: EnvReader): void {
  const mode = reader.oneOf('PROXY_MODE', ['shared', 'dedicated'], 'shared');
  if (mode === 'dedicated') {
    reader.refuse(
      'PROXY_MODE=dedicated is not served: want "shared" (one process for the pods of a node)',
    );
  }
  if (!reader.boolean('ENABLE_PROXY', true)) {
    reader.refuse('ENABLE_PROXY=false leaves nothing to run: unset it');
  }
  if (reader.boolean('FAKE_CA', false)) {
    reader.refuse('FAKE_CA=true is not served: set CA_ADDRESS to a certificate authority');
  }
  if (reader.boolean('TLS12_ENABLED', false)) {
    reader.refuse('TLS12_ENABLED=true is not served: tunnels speak TLS 1.3 only');
  }
  if (reader.text('COMPLIANCE_POLICY') !== undefined) {
    reader.refuse('COMPLIANCE_POLICY is set, but no such policy is served: unset it');
  }
  if (reader.text('CRL_PATH') !== undefined) {
    reader.refuse('CRL_PATH is set, but revocation lists are not checked yet: unset it');
  }
}

const NOT_USED: ReadonlyArray<readonly [name: string, why: string]> = [
  ['UNSTABLE_ENABLE_SOCKS5', 'there is no SOCKS5 listener'],
  ['PROXY_WORKLOAD_INFO', 'it belongs to PROXY_MODE=dedicated'],
  ['PROXY_CONFIG', 'settings are read from single variables'],
  ['ISTIO_META_DNS_CAPTURE', 'DNS is not captured yet'],
  ['PREFERED_SERVICE_NAMESPACE', 'DNS is not captured yet'],
];

function warnAboutWhatIsNotUsed(reader: EnvReader, warnings: string[]): void {
  for (const [name, why] of NOT_USED) {
    const value = reader.text(name);
    if (value !== undefined && value.toLowerCase() !== 'false') {
      warnings.push(`${name} has no effect: ${why}`);
    }
  }
}

function readSelf(reader: EnvReader): SelfConfig {
  const ipText = reader.text('INSTANCE_IP');
  const instanceIp = ipText === undefined ? undefined : parseIp(ipText);
  if (ipText !== undefined && instanceIp === undefined) {
    reader.refuse(`Cannot read INSTANCE_IP=${JSON.stringify(ipText)}: want an IP address`);
  }
  return {
    network: reader.textOr('NETWORK', ''),
    nodeName: reader.text('NODE_NAME'),
    clusterId: reader.text('ISTIO_META_CLUSTER_ID') ?? reader.text('CLUSTER_ID') ?? 'Kubernetes',
    trustDomain: reader.text('TRUST_DOMAIN'),
    instanceIp,
    podName: reader.text('POD_NAME'),
    podNamespace: reader.text('POD_NAMESPACE'),
    serviceAccount: reader.text('SERVICE_ACCOUNT'),
  };
}

function readStateSource(reader: EnvReader, self: SelfConfig): StateSource {
  const path = reader.text('LOCAL_XDS_PATH');
  const text = reader.text('LOCAL_XDS');
  if (path !== undefined && text !== undefined)
    reader.refuse('LOCAL_XDS_PATH and LOCAL_XDS are both set: want one of them');
  const isLocal = path !== undefined || text !== undefined;
  if (isLocal && reader.text('XDS_ADDRESS') !== undefined)
    reader.refuse(
      'XDS_ADDRESS is set, and LOCAL_XDS_PATH or LOCAL_XDS too: want the mesh from one of them',
    );
  if (path !== undefined) return { kind: 'file', path };
  if (text !== undefined) return { kind: 'inline', text };
  if (isXdsWanted(reader)) return readXds(reader, self, 'ztunnel');
  reader.refuse(
    'Nothing says where workloads, services and policies come from: set XDS_ADDRESS (a control plane), LOCAL_XDS_PATH (a file) or LOCAL_XDS (the text)',
  );
  return { kind: 'inline', text: '' };
}

/** The kernel's address has 108 bytes, the last of which is 0. */
const SOCKET_PATH_BYTES_MAX = 107;
/** Of a name that the socket has at first: a dot and a process id. */
const TEMPORARY_BYTES = 8;

function refuseLongPath(reader: EnvReader, name: string, path: string, max: number): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= max) return;
  reader.refuse(
    `${name} is a path of ${bytes} bytes, want at most ${max}: ${JSON.stringify(path)}`,
  );
}

function readInpod(reader: EnvReader): InpodConfig {
  const agentSocketPath = reader.textOr('INPOD_UDS', '/var/run/ztunnel/ztunnel.sock');
  const handOverSocketPath = reader.isEmpty('HANDOVER_UDS')
    ? undefined
    : reader.textOr('HANDOVER_UDS', `${agentSocketPath}.handover`);
  refuseLongPath(reader, 'INPOD_UDS', agentSocketPath, SOCKET_PATH_BYTES_MAX);
  const handOverMax = SOCKET_PATH_BYTES_MAX - TEMPORARY_BYTES;
  refuseLongPath(reader, 'HANDOVER_UDS', handOverSocketPath ?? '', handOverMax);
  return {
    agentSocketPath,
    handOverSocketPath,
    packetMark: reader.integer('PACKET_MARK', { fallback: 1_337, min: 1, max: 0xffff_ffff }),
    portReuse: reader.boolean('INPOD_PORT_REUSE', true),
  };
}

function readKeepalive(reader: EnvReader): KeepaliveConfig {
  // The kernel counts in seconds and takes at most 32,767 of them, and at most 127 probes.
  const seconds = { fallback: 180 * SECOND_MS, min: SECOND_MS, max: 32_767 * SECOND_MS };
  return {
    enabled: reader.boolean('KEEPALIVE_ENABLED', true),
    timeMs: reader.durationMs('KEEPALIVE_TIME', seconds),
    intervalMs: reader.durationMs('KEEPALIVE_INTERVAL', seconds),
    retries: reader.integer('KEEPALIVE_RETRIES', { fallback: 9, min: 1, max: 127 }),
    userTimeoutEnabled: reader.boolean('USER_TIMEOUT_ENABLED', false),
  };
}

function readPool(reader: EnvReader): PoolConfig {
  return {
    streamsPerConnectionMax: reader.integer('POOL_MAX_STREAMS_PER_CONNECTION', {
      fallback: 100,
      min: 1,
      max: 65_535,
    }),
    unusedReleaseMs: reader.durationMs('POOL_UNUSED_RELEASE_TIMEOUT', {
      fallback: 5 * MINUTE_MS,
      min: 0,
      max: DURATION_MS_MAX,
    }),
  };
}

function readHttp2(reader: EnvReader): Http2Config {
  // RFC 9113, sections 6.9.1 (windows) and 6.5.2 (frame size). A window smaller than the default
  // of the protocol would have to shrink streams that are open already: not offered.
  const window = { min: 65_535, max: 0x7fff_ffff };
  const [streamFallback, connectionFallback] = [4 << 20, 16 << 20];
  return {
    streamWindowBytes: reader.integer('HTTP2_STREAM_WINDOW_SIZE', {
      ...window,
      fallback: streamFallback,
    }),
    connectionWindowBytes: reader.integer('HTTP2_CONNECTION_WINDOW_SIZE', {
      ...window,
      fallback: connectionFallback,
    }),
    frameBytesMax: reader.integer('HTTP2_FRAME_SIZE', {
      fallback: 1 << 20,
      min: 16_384,
      max: 0xff_ffff,
    }),
  };
}

function readOriginalSource(reader: EnvReader): Config['originalSource'] {
  if (reader.text('ENABLE_ORIG_SRC') === undefined) return 'auto';
  return reader.boolean('ENABLE_ORIG_SRC', true) ? 'always' : 'never';
}

function readDrainDeadline(reader: EnvReader): number {
  return reader.durationMs('CONNECTION_TERMINATION_DEADLINE', {
    fallback: secondsWithinGracePeriod(reader) * SECOND_MS,
    min: 0,
    max: DURATION_MS_MAX,
  });
}

/** Somewhat less than the pod has until it is killed, so that the last lines get out. */
function secondsWithinGracePeriod(reader: EnvReader): number {
  const name = 'TERMINATION_GRACE_PERIOD_SECONDS';
  if (reader.text(name) === undefined) return 5;
  const max = DURATION_MS_MAX / SECOND_MS;
  const graceSeconds = reader.integer(name, { fallback: 10, min: 0, max });
  return graceSeconds > 10 ? graceSeconds - 5 : Math.max(1, graceSeconds - 1);
}

function readLog(reader: EnvReader): Config['log'] {
  const parsed = parseLogFilter(reader.textOr('RUST_LOG', 'info'));
  if (parsed.kind === 'refused') reader.refuse(`RUST_LOG: ${parsed.problem}`);
  return {
    format: reader.oneOf('LOG_FORMAT', ['text', 'json'], 'text'),
    filter: parsed.kind === 'ok' ? parsed.filter : { text: '', rules: [] },
  };
}

// These variables are ours: several tunnels on one machine, in tests, need ports of their own.
function readPorts(reader: EnvReader): Config['ports'] {
  const port = { min: 1, max: 65_535 };
  const ports = {
    admin: reader.integer('ADMIN_PORT', { ...port, fallback: 15_000 }),
    stats: reader.integer('STATS_PORT', { ...port, fallback: 15_020 }),
    readiness: reader.integer('READINESS_PORT', { ...port, fallback: 15_021 }),
  };
  if (new Set(Object.values(ports)).size < 3) {
    reader.refuse('ADMIN_PORT, STATS_PORT and READINESS_PORT must differ');
  }
  return ports;
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Map) return value;
  for (const each of Object.values(value)) deepFreeze(each);
  return Object.freeze(value);
}
