/**
 * The frame of a CNI plugin (the Container Network Interface specification 1.1.0): what a runtime asks by
 * environment and standard input, and what it is answered on standard output. Pure.
 */

/** Versions of the specification that the plugin speaks, oldest first. */
export const SUPPORTED_VERSIONS: readonly string[] = [
  '0.1.0',
  '0.2.0',
  '0.3.0',
  '0.3.1',
  '0.4.0',
  '1.0.0',
  '1.1.0',
];

/** Error codes of the specification, section "Error"; 100 and above are the plugin's own. */
export const CNI_ERROR = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  decoding: 6,
  invalidConfig: 7,
  internal: 999,
} as const;

/** An error result. */
export interface CniError {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** An address of a result's `ips`, as the agent gets it; the rest of a result is passed on unread. */
export interface ResultIp {
  readonly address: string;
  readonly gateway?: string;
  readonly interface?: number;
}

/** What this plugin's entry of the configuration list says. */
export interface PluginConfig {
  readonly cniVersion: string;
  /** Directory of the agent's sockets and of the plugin's credentials. */
  readonly agentRunDirectory: string;
  readonly ambientEnabled: boolean;
  readonly excludedNamespaces: readonly string[];
  /** Namespace of the agent itself. */
  readonly agentNamespace: string;
  /** Pairs of label selectors; absent: the default ones. Read by `eligibility.ts`. */
  readonly enablementSelectors: unknown;
  readonly prevResult: Readonly<Record<string, unknown>> | undefined;
}

/** The pod that an ADD is for. */
export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  /** Tells a pod from an earlier one of the same name. Not every runtime says it. */
  readonly uid?: string;
}

export type CniRequest =
  /** Started by hand, without a command. */
  | { readonly kind: 'about' }
  | { readonly kind: 'version'; readonly cniVersion: string }
  | {
      readonly kind: 'add';
      readonly config: PluginConfig;
      readonly netns: string;
      /** Absent: the runtime is not a Kubernetes one. */
      readonly pod: PodReference | undefined;
      readonly ips: readonly ResultIp[] | undefined;
    }
  /** DEL, CHECK, GC and STATUS: the agent learns of deletions from the API server. */
  | { readonly kind: 'nothing-to-do' }
  | { readonly kind: 'refused'; readonly error: CniError };

const FALLBACK_VERSION = '0.1.0';
const RUN_DIRECTORY = '/var/run/istio-cni';
/** CNI specification, "Parameters": what an id of a container and a name of a network may be. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const INTERFACE_NAME = /^[^\s/:]{1,15}$/;

/** Reads the request of a runtime from the environment and the text of standard input. */
export function readRequest(
  env: Readonly<Record<string, string | undefined>>,
  stdin: string,
): CniRequest {
  const command = env['CNI_COMMAND'] ?? '';
  if (command === '') return { kind: 'about' };
  let config: Record<string, unknown>;
  try {
    const value: unknown = JSON.parse(stdin);
    if (!isRecord(value)) throw new Error('it is not an object');
    config = value;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return refuse(
      FALLBACK_VERSION,
      CNI_ERROR.decoding,
      `cannot read the network configuration on standard input: ${why}`,
    );
  }
  const cniVersion = text(config['cniVersion']) ?? FALLBACK_VERSION;
  if (command === 'VERSION') return { kind: 'version', cniVersion };
  const wrong = checkFrame(command, env, config, cniVersion);
  if (wrong !== undefined) return { kind: 'refused', error: wrong };
  if (command !== 'ADD') return { kind: 'nothing-to-do' };
  const prevResult = isRecord(config['prevResult']) ? config['prevResult'] : undefined;
  return {
    kind: 'add',
    netns: env['CNI_NETNS'] ?? '',
    pod: readPod(env['CNI_ARGS'] ?? ''),
    ips: prevResult === undefined ? undefined : readIps(prevResult),
    config: {
      cniVersion,
      agentRunDirectory: text(config['cni_agent_run_dir']) ?? RUN_DIRECTORY,
      ambientEnabled: config['ambient_enabled'] === true,
      excludedNamespaces: texts(config['exclude_namespaces']),
      agentNamespace: text(config['pod_namespace']) ?? '',
      enablementSelectors: config['enablement_selectors'],
      prevResult,
    },
  };
}

/** What a successful ADD prints: what the plugins before this one made, as it is. */
export function addResult(config: PluginConfig): Readonly<Record<string, unknown>> {
  return { ...config.prevResult, cniVersion: config.cniVersion };
}

/** What VERSION prints. */
export function versionResult(cniVersion: string): Readonly<Record<string, unknown>> {
  return { cniVersion, supportedVersions: SUPPORTED_VERSIONS };
}

function checkFrame(
  command: string,
  env: Readonly<Record<string, string | undefined>>,
  config: Readonly<Record<string, unknown>>,
  cniVersion: string,
): CniError | undefined {
  const invalid = (msg: string, code: number = CNI_ERROR.invalidEnvironment): CniError => ({
    cniVersion,
    code,
    msg,
  });
  if (!SUPPORTED_VERSIONS.includes(cniVersion)) {
    const known = SUPPORTED_VERSIONS.join(', ');
    return {
      cniVersion: FALLBACK_VERSION,
      code: CNI_ERROR.incompatibleVersion,
      msg: `incompatible CNI version "${cniVersion}": this plugin speaks ${known}`,
    };
  }
  if (!['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'].includes(command)) {
    return invalid(`unknown CNI_COMMAND "${command}": want ADD, DEL, CHECK, GC, STATUS or VERSION`);
  }
  if (command === 'CHECK' && SUPPORTED_VERSIONS.indexOf(cniVersion) < 4) {
    return invalid(
      `CHECK came with 0.4.0 of the specification; the configuration says ${cniVersion}`,
      CNI_ERROR.incompatibleVersion,
    );
  }
  const name = text(config['name']) ?? '';
  if (!NAME.test(name)) {
    return invalid(
      `the network configuration has no usable "name" (${JSON.stringify(name)})`,
      CNI_ERROR.invalidConfig,
    );
  }
  if (command === 'GC' || command === 'STATUS') return undefined;
  if (!NAME.test(env['CNI_CONTAINERID'] ?? '')) {
    return invalid(`CNI_CONTAINERID is not usable: ${JSON.stringify(env['CNI_CONTAINERID'])}`);
  }
  if (!INTERFACE_NAME.test(env['CNI_IFNAME'] ?? '')) {
    return invalid(`CNI_IFNAME is not usable: ${JSON.stringify(env['CNI_IFNAME'])}`);
  }
  if (command !== 'DEL' && (env['CNI_NETNS'] ?? '') === '') {
    return invalid('CNI_NETNS is missing');
  }
  return undefined;
}

/** `K8S_POD_NAMESPACE`, `K8S_POD_NAME` and `K8S_POD_UID` of `CNI_ARGS`: `KEY=value;KEY=value`. */
function readPod(args: string): PodReference | undefined {
  const values = new Map<string, string>();
  for (const pair of args.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0) values.set(pair.slice(0, at), pair.slice(at + 1));
  }
  const namespace = values.get('K8S_POD_NAMESPACE');
  const name = values.get('K8S_POD_NAME');
  const uid = values.get('K8S_POD_UID');
  return namespace && name ? { namespace, name, ...(uid ? { uid } : {}) } : undefined;
}

/** `ips` of 0.3.0 and later, `ip4` and `ip6` before. */
function readIps(result: Readonly<Record<string, unknown>>): readonly ResultIp[] {
  const old = [result['ip4'], result['ip6']].flatMap((entry) =>
    isRecord(entry) ? [{ address: entry['ip'], gateway: entry['gateway'] }] : [],
  );
  const listed: readonly unknown[] = Array.isArray(result['ips']) ? result['ips'] : old;
  return listed.flatMap((entry) => {
    if (!isRecord(entry)) return [];
    const address = text(entry['address']);
    if (address === undefined) return [];
    const gateway = text(entry['gateway']);
    const index = entry['interface'];
    return [
      {
        address,
        ...(gateway === undefined ? {} : { gateway }),
        ...(typeof index === 'number' ? { interface: index } : {}),
      },
    ];
  });
}

function refuse(cniVersion: string, code: number, msg: string): CniRequest {
  return { kind: 'refused', error: { cniVersion, code, msg } };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}
