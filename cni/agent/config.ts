import { parse } from 'yaml';

import type { Environment } from '#common/env.ts';
import { EnvReader } from '#common/env.ts';
import { type LogFilter, parseLogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import { parseIp } from '#common/net/address.ts';

import {
  DEFAULT_SELECTORS,
  type EnablementSelector,
  readSelectors,
} from '../plugin/eligibility.ts';
import type { ProbeSources } from '../rules/node-probes.ts';

export interface InstallConfig {
  /** Where the node's CNI configuration and its plugins are seen from here. */
  readonly configDirectory: string;
  readonly pluginDirectory: string;
  /** A file's name to use instead of the first that is there. */
  readonly configName: string | undefined;
  /** Behind the node's own plugins, in their list; otherwise a network of its own. */
  readonly chained: boolean;
  /** Leave the node's list as it is, and put a copy with our entry before it, under this name. */
  readonly ownedConfigName: string | undefined;
  readonly kubeconfigMode: number;
  readonly configMode: number;
  readonly logLevel: string;
  /** A Node and a copy of this project that the node has already (ours): then neither is copied to it. */
  readonly hostProgram: { readonly node: string; readonly project: string } | undefined;
  /** Leave nothing behind at the end, whatever the cluster says. */
  readonly alwaysClean: boolean;
}

export interface AgentConfig {
  readonly nodeName: string;
  readonly podNamespace: string;
  readonly systemNamespace: string;
  readonly ambientEnabled: boolean;
  readonly excludedNamespaces: readonly string[];
  readonly selectors: readonly EnablementSelector[];
  readonly captureDns: boolean;
  readonly ipv6: boolean;
  readonly probeSources: ProbeSources;
  readonly runDirectory: string;
  readonly tunnelSocketPath: string;
  readonly healthPort: number;
  /** Undefined: no metrics. */
  readonly metricsPort: number | undefined;
  /** Rules for the node go into the namespace of its first process; otherwise into this process's own. */
  readonly entersHostNetwork: boolean;
  /** Where the node's root directory is seen (ours): in front of paths that plugins name. */
  readonly hostRoot: string;
  /** How long connections of a pod that leaves the mesh may go on (ours). */
  readonly drainMs: number;
  /** How often every pod's rules are looked at (ours). */
  readonly auditMs: number;
  readonly install: InstallConfig;
  readonly kubeconfigPath: string | undefined;
  readonly log: { readonly filter: LogFilter; readonly format: LogFormat };
}

export type ConfigResult =
  | { readonly kind: 'ok'; readonly config: AgentConfig; readonly warnings: readonly string[] }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const PORT = { min: 1, max: 65_535 };
const DRAIN_MS = { fallback: 30_000, min: 0, max: 3_600_000 };
const AUDIT_MS = { fallback: 60_000, min: 1_000, max: 3_600_000 };
/** Others read such settings; here they have no effect. */
const WITHOUT_EFFECT = ['FORCE_IPTABLES_BINARY', 'REPAIR_ENABLED', 'SKIP_TLS_VERIFY'];

/** Reads the agent's settings, all problems at once. */
export function readConfig(env: Environment = process.env): ConfigResult {
  const reader = new EnvReader(env);
  const nodeName = reader.text('NODE_NAME');
  if (nodeName === undefined) reader.refuse('NODE_NAME is not set: want the name of this node');
  const config: AgentConfig = {
    nodeName: nodeName ?? '',
    podNamespace: reader.textOr('POD_NAMESPACE', 'istio-system'),
    systemNamespace: reader.textOr('SYSTEM_NAMESPACE', 'istio-system'),
    ambientEnabled: reader.boolean('AMBIENT_ENABLED', true),
    excludedNamespaces: list(reader.text('EXCLUDE_NAMESPACES') ?? ''),
    selectors: selectors(reader),
    captureDns: reader.boolean('AMBIENT_DNS_CAPTURE', false),
    ipv6: reader.boolean('AMBIENT_IPV6', true),
    probeSources: {
      ipv4: address(reader, 'HOST_PROBE_SNAT_IP', '169.254.7.127', false),
      ipv6: address(
        reader,
        'HOST_PROBE_SNAT_IPV6',
        'fd16:9254:7127:1337:ffff:ffff:ffff:ffff',
        true,
      ),
    },
    runDirectory: reader.textOr('CNI_AGENT_RUN_DIR', '/var/run/istio-cni'),
    tunnelSocketPath: reader.textOr('ZTUNNEL_UDS_ADDRESS', '/var/run/ztunnel/ztunnel.sock'),
    healthPort: reader.integer('HEALTH_PORT', { ...PORT, fallback: 8_000 }),
    metricsPort: metricsPort(reader),
    entersHostNetwork: reader.boolean('ALLOW_SWITCH_TO_HOST_NS', false),
    hostRoot: reader.textOr('HOST_ROOT', '/host'),
    drainMs: reader.durationMs('AMBIENT_DRAIN_TIME', DRAIN_MS),
    auditMs: reader.durationMs('AMBIENT_AUDIT_INTERVAL', AUDIT_MS),
    install: readInstall(reader),
    kubeconfigPath: reader.text('KUBECONFIG'),
    log: {
      filter: logFilter(reader),
      format: reader.oneOf('LOG_FORMAT', ['plain', 'json'], 'plain') === 'json' ? 'json' : 'text',
    },
  };
  if (reader.problems.length > 0) return { kind: 'refused', problems: reader.problems };
  const warnings = WITHOUT_EFFECT.filter((name) => reader.text(name) !== undefined).map(
    (name) => `${name} has no effect here`,
  );
  return { kind: 'ok', config, warnings };
}

function readInstall(reader: EnvReader): InstallConfig {
  const node = reader.text('CNI_HOST_NODE');
  const project = reader.text('CNI_HOST_PROJECT');
  if ((node === undefined) !== (project === undefined)) {
    reader.refuse('CNI_HOST_NODE and CNI_HOST_PROJECT go together: set both or none');
  }
  const chained = reader.boolean('CHAINED_CNI_PLUGIN', true);
  const isOwned = reader.boolean('ISTIO_OWNED_CNI_CONFIG', false) && chained;
  const ownedName = reader.textOr('ISTIO_OWNED_CNI_CONFIG_FILENAME', '02-istio-cni.conflist');
  return {
    configDirectory: reader.textOr('MOUNTED_CNI_NET_DIR', '/host/etc/cni/net.d'),
    pluginDirectory: reader.textOr('MOUNTED_CNI_BIN_DIR', '/host/opt/cni/bin'),
    configName: reader.text('CNI_CONF_NAME'),
    chained,
    ownedConfigName: isOwned ? ownedName : undefined,
    kubeconfigMode: mode(reader, 'KUBECONFIG_MODE', 0o600),
    configMode: reader.boolean('CNI_CONF_GROUP_READ', false) ? 0o640 : 0o600,
    logLevel: reader.textOr('CNI_PLUGIN_LOG_LEVEL', 'info'),
    hostProgram: node === undefined || project === undefined ? undefined : { node, project },
    alwaysClean: reader.boolean('AMBIENT_DISABLE_SAFE_UPGRADE', false),
  };
}

function selectors(reader: EnvReader): readonly EnablementSelector[] {
  const text = reader.text('AMBIENT_ENABLEMENT_SELECTOR');
  if (text === undefined) return DEFAULT_SELECTORS;
  try {
    return readSelectors(parse(text));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    reader.refuse(`Cannot read AMBIENT_ENABLEMENT_SELECTOR: ${why}`);
    return DEFAULT_SELECTORS;
  }
}

function address(reader: EnvReader, name: string, fallback: string, isV6: boolean): string {
  const text = reader.textOr(name, fallback);
  const ip = parseIp(text);
  if (ip?.includes(':') === isV6) return ip;
  reader.refuse(`Cannot read ${name}=${JSON.stringify(text)}: want an IPv${isV6 ? 6 : 4} address`);
  return fallback;
}

/** 0 or less: none, as with other agents. */
function metricsPort(reader: EnvReader): number | undefined {
  if (/^(?:0|-\d+)$/.test(reader.text('MONITORING_PORT') ?? '')) return undefined;
  return reader.integer('MONITORING_PORT', { ...PORT, fallback: 15_014 });
}

function mode(reader: EnvReader, name: string, fallback: number): number {
  const text = reader.text(name);
  if (text === undefined) return fallback;
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  reader.refuse(
    `Cannot read ${name}=${JSON.stringify(text)}: want an octal file mode such as 0600`,
  );
  return fallback;
}

function logFilter(reader: EnvReader): LogFilter {
  const parsed = parseLogFilter(reader.textOr('LOG_LEVEL', 'info'));
  if (parsed.kind === 'ok') return parsed.filter;
  reader.refuse(`Cannot read LOG_LEVEL: ${parsed.problem}`);
  const fallback = parseLogFilter('info');
  if (fallback.kind === 'refused') throw new Error(fallback.problem);
  return fallback.filter;
}

function list(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
