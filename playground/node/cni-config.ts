/** One plugin of a chain: what is written in the configuration. */
export interface CniPlugin {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A network configuration list (CNI specification 1.0, section 1). */
export interface CniNetwork {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly CniPlugin[];
}

export type CniConfigResult =
  | { readonly kind: 'ok'; readonly file: string; readonly network: CniNetwork }
  /** No file of the directory can be used; the text says what is wrong with each. */
  | { readonly kind: 'none'; readonly why: string };

/** A file of the configuration directory. */
export interface CniFile {
  readonly name: string;
  readonly text: string;
}

/**
 * Which network the pods get: the first file by name that can be used, as container runtimes choose. A `.conf` or
 * `.json` file holds one plugin, a `.conflist` file a list; files with other endings don't count.
 */
export function chooseNetwork(files: readonly CniFile[]): CniConfigResult {
  const problems: string[] = [];
  const sorted = files
    .filter(({ name }) => /\.(?:conf|conflist|json)$/.test(name))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  for (const file of sorted) {
    const network = readNetwork(file);
    if (typeof network !== 'string') return { kind: 'ok', file: file.name, network };
    problems.push(`${file.name}: ${network}`);
  }
  const why = problems.length === 0 ? 'cni plugin not initialized' : problems.join('; ');
  return { kind: 'none', why };
}

/** The network of a file, or why it is none. */
function readNetwork(file: CniFile): CniNetwork | string {
  let content: unknown;
  try {
    content = JSON.parse(file.text);
  } catch (error) {
    return `not JSON (${error instanceof Error ? error.message : String(error)})`;
  }
  if (!isObject(content)) return 'want a JSON object';
  const { cniVersion = '0.1.0', name } = content;
  if (typeof name !== 'string' || name === '') return 'has no "name"';
  if (typeof cniVersion !== 'string') return '"cniVersion" is not a text';
  const plugins = file.name.endsWith('.conflist') ? content['plugins'] : [content];
  if (!Array.isArray(plugins) || plugins.length === 0) return 'has no "plugins"';
  for (const plugin of plugins) {
    if (!isObject(plugin) || typeof plugin['type'] !== 'string' || plugin['type'] === '') {
      return 'a plugin has no "type"';
    }
    // The name of a program in the plugin directory, not a path to anywhere.
    if (plugin['type'].includes('/')) return `plugin type ${JSON.stringify(plugin['type'])}`;
  }
  return { cniVersion, name, plugins: plugins as readonly CniPlugin[] };
}

/** What a plugin reads on its standard input (CNI specification 1.0, section 3). */
export function pluginInput(
  network: CniNetwork,
  plugin: CniPlugin,
  prevResult: CniResult | undefined,
): string {
  const { capabilities: _, ...own } = plugin;
  return JSON.stringify({
    ...own,
    cniVersion: network.cniVersion,
    name: network.name,
    ...(prevResult === undefined ? {} : { prevResult }),
  });
}

/** What a chain answers: passed on from plugin to plugin. */
export interface CniResult {
  readonly cniVersion?: string;
  readonly interfaces?: readonly {
    readonly name: string;
    readonly mac?: string;
    readonly sandbox?: string;
  }[];
  readonly ips?: readonly {
    /** With its prefix length: `10.244.0.2/24`. */
    readonly address: string;
    readonly gateway?: string;
    readonly interface?: number;
  }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
  readonly dns?: Readonly<Record<string, unknown>>;
}

/** The first address of a result that is of the pod's own interface, without its prefix length. */
export function podAddress(result: CniResult): string | undefined {
  return result.ips?.[0]?.address.split('/')[0];
}

/**
 * What a plugin that failed says: the message of its error object (CNI specification 1.0, section 5), else what it wrote
 * on standard error.
 */
export function pluginError(stdout: string, stderr: string, code: number): string {
  try {
    const content: unknown = JSON.parse(stdout);
    if (isObject(content) && typeof content['msg'] === 'string') {
      const details = typeof content['details'] === 'string' ? content['details'] : '';
      return details === '' ? content['msg'] : `${content['msg']}: ${details}`;
    }
  } catch {
    // No error object: the rest is all there is.
  }
  return stderr.trim() || `netplugin failed with no error message: exit status ${code}`;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
