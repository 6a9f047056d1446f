import { hostname } from 'node:os';

import { type Environment, EnvReader } from '#common/env.ts';
import { type LogFilter, parseLogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';

import type { MeshSettings } from './model/mesh.ts';

export interface Config {
  readonly mesh: MeshSettings;
  /** Undefined: as the pod that this process runs in. */
  readonly kubeconfigPath: string | undefined;
  readonly ca: {
    readonly lifeMs: { readonly fallback: number; readonly max: number };
    /** `namespace/name` of service accounts that may act for the pods of their node. */
    readonly trustedNodeAccounts: ReadonlySet<string>;
    /** Further names in this service's own certificate. */
    readonly customHosts: readonly string[];
  };
  readonly tokenAudiences: readonly string[];
  /** Our name among several control planes of which one writes; undefined: there are no others. */
  readonly candidate: string | undefined;
  /** Tell the authors of policies, in their status, what is made of them. */
  readonly policyStatus: boolean;
  readonly connectionAgeMs: number;
  readonly host: string;
  readonly ports: {
    readonly discovery: number;
    readonly http: number;
    readonly monitoring: number;
  };
  readonly log: { readonly format: LogFormat; readonly filter: LogFilter };
}

export type ConfigResult =
  | { readonly kind: 'ok'; readonly config: Config }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Reads the settings; refuses, with everything that is wrong. */
export function readConfig(env: Environment = process.env): ConfigResult {
  const reader = new EnvReader(env);
  const systemNamespace = reader.textOr('POD_NAMESPACE', 'istio-system');
  refuseWhatIsNotServed(reader);
  const config: Config = {
    mesh: {
      trustDomain: reader.textOr('TRUST_DOMAIN', 'cluster.local'),
      domain: reader.textOr('DOMAIN_SUFFIX', 'cluster.local'),
      rootNamespace: reader.textOr('ROOT_NAMESPACE', systemNamespace),
      systemNamespace,
      clusterId: reader.textOr('CLUSTER_ID', 'Kubernetes'),
      revision: reader.textOr('REVISION', 'default'),
      waypointImage: reader.textOr('WAYPOINT_IMAGE', 'ambit/waypoint:0.1.0'),
    },
    kubeconfigPath: reader.text('KUBECONFIG'),
    ca: {
      lifeMs: {
        fallback: life(reader, 'DEFAULT_WORKLOAD_CERT_TTL', DAY_MS),
        max: life(reader, 'MAX_WORKLOAD_CERT_TTL', 90 * DAY_MS),
      },
      trustedNodeAccounts: accounts(reader, `${systemNamespace}/ztunnel`),
      customHosts: words(reader.text('ISTIOD_CUSTOM_HOST')),
    },
    tokenAudiences: words(reader.textOr('TOKEN_AUDIENCES', 'istio-ca')),
    candidate: reader.boolean('ENABLE_LEADER_ELECTION', true)
      ? reader.textOr('POD_NAME', `${hostname()}-${process.pid}`)
      : undefined,
    policyStatus: reader.boolean('AMBIENT_ENABLE_STATUS', true),
    connectionAgeMs: reader.durationMs('MAX_CONNECTION_AGE', {
      fallback: 30 * MINUTE_MS,
      min: MINUTE_MS,
      max: DAY_MS,
    }),
    host: reader.textOr('LISTEN_HOST', '0.0.0.0'),
    ports: {
      discovery: port(reader, 'DISCOVERY_PORT', 15_012),
      http: port(reader, 'HTTP_PORT', 8_080),
      monitoring: port(reader, 'MONITORING_PORT', 15_014),
    },
    log: readLog(reader),
  };
  return reader.problems.length > 0
    ? { kind: 'refused', problems: reader.problems }
    : { kind: 'ok', config };
}

/** Settings that ask for more safety or another authority than there is. */
function refuseWhatIsNotServed(reader: EnvReader): void {
  if (reader.text('EXTERNAL_CA') !== undefined)
    reader.refuse('EXTERNAL_CA is set, but certificates are signed here only: unset it');
  const provider = reader.textOr('PILOT_CERT_PROVIDER', 'istiod');
  if (provider !== 'istiod')
    reader.refuse(`PILOT_CERT_PROVIDER=${JSON.stringify(provider)} is not served: want "istiod"`);
}

function life(reader: EnvReader, name: string, fallback: number): number {
  return reader.durationMs(name, { fallback, min: 10 * MINUTE_MS, max: 90 * DAY_MS });
}

function port(reader: EnvReader, name: string, fallback: number): number {
  return reader.integer(name, { fallback, min: 0, max: 65_535 });
}

function accounts(reader: EnvReader, fallback: string): ReadonlySet<string> {
  const all = words(reader.textOr('CA_TRUSTED_NODE_ACCOUNTS', fallback));
  const wrong = all.find((account) => !/^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(account));
  if (wrong !== undefined) {
    reader.refuse(
      `Cannot read ${JSON.stringify(wrong)} in CA_TRUSTED_NODE_ACCOUNTS: want namespace/name, separated by commas`,
    );
  }
  return new Set(all);
}

function words(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').flatMap((part) => part.trim() || []);
}

function readLog(reader: EnvReader): Config['log'] {
  const format = reader.oneOf<LogFormat>('LOG_FORMAT', ['text', 'json'], 'text');
  const read = parseLogFilter(reader.textOr('LOG_LEVEL', 'info'));
  if (read.kind === 'ok') return { format, filter: read.filter };
  reader.refuse(`LOG_LEVEL ${read.problem}`);
  return { format, filter: { text: 'info', rules: [] } };
}
