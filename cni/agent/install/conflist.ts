/** Where our plugin has its place among a node's own: what is to be written, from what is there. Pure. */

/** A file of the CNI configuration directory. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

/** Our entry of a list of plugins. */
export interface PluginEntry {
  readonly type: typeof PLUGIN_TYPE;
  readonly [field: string]: unknown;
}

export interface PlacementOptions {
  /** Use this file instead of the first. */
  readonly configName: string | undefined;
  readonly chained: boolean;
  /** Copy the node's list, with our entry, to a file of this name. */
  readonly ownedConfigName: string | undefined;
}

export type Placement =
  | { readonly kind: 'intact' }
  | {
      readonly kind: 'write';
      readonly name: string;
      readonly text: string;
      readonly remove?: string;
    }
  /** There is nothing yet to chain to. */
  | { readonly kind: 'wait'; readonly reason: string };

export type Withdrawal =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'write'; readonly name: string; readonly text: string }
  | { readonly kind: 'remove'; readonly name: string };

export const PLUGIN_TYPE = 'istio-cni';
/** As a stand-alone network it sorts last: it makes none. */
const STANDALONE_NAME = 'YYY-istio-cni.conf';
const STANDALONE_VERSION = '0.3.1';
/** What a list is called that was a single plugin before. */
const WRAPPED_NAME = 'k8s-pod-network';

interface NetworkList {
  readonly name: string;
  readonly plugins: readonly Readonly<Record<string, unknown>>[];
  readonly [field: string]: unknown;
}

interface Primary {
  readonly file: ConfigFile;
  readonly list: NetworkList;
}

/** Puts `entry` behind the node's own plugins. What others have put behind ours stays there. */
export function placePlugin(
  files: readonly ConfigFile[],
  entry: PluginEntry,
  options: PlacementOptions,
): Placement {
  if (!options.chained) return standalone(files, entry, options);
  const { ownedConfigName } = options;
  const primary = findPrimary(files, options);
  if (primary === undefined) return { kind: 'wait', reason: nothingThere(options) };
  const { file, list } = primary;
  if (ownedConfigName !== undefined) {
    const owned = withEntry(list, entry);
    const found = files.find(({ name }) => name === ownedConfigName);
    if (found !== undefined && isSame(readJson(found.text), owned)) return { kind: 'intact' };
    return { kind: 'write', name: ownedConfigName, text: textOf(owned) };
  }
  const ours = list.plugins.filter(({ type }) => type === PLUGIN_TYPE);
  if (file.name.endsWith('.conflist') && ours.length === 1 && isSame(ours[0], entry)) {
    return { kind: 'intact' };
  }
  const text = textOf(withEntry(list, entry));
  if (file.name.endsWith('.conflist')) return { kind: 'write', name: file.name, text };
  // Runtimes read a list only from a file that is called one.
  return {
    kind: 'write',
    name: `${file.name.replace(/\.conf$/, '')}.conflist`,
    text,
    remove: file.name,
  };
}

/** Takes our plugin away again; the node's own stay. */
export function withdrawPlugin(
  files: readonly ConfigFile[],
  options: PlacementOptions,
): Withdrawal {
  const { chained, ownedConfigName } = options;
  if (!chained || ownedConfigName !== undefined) {
    const name = chained ? ownedConfigName : (options.configName ?? STANDALONE_NAME);
    const isThere = name !== undefined && files.some((file) => file.name === name);
    return isThere ? { kind: 'remove', name } : { kind: 'nothing' };
  }
  for (const { name, text } of files) {
    const list = name.endsWith('.conflist') ? readList(name, text) : undefined;
    if (list?.plugins.some(({ type }) => type === PLUGIN_TYPE) !== true) continue;
    const plugins = list.plugins.filter(({ type }) => type !== PLUGIN_TYPE);
    return { kind: 'write', name, text: textOf({ ...list, plugins }) };
  }
  return { kind: 'nothing' };
}

function standalone(
  files: readonly ConfigFile[],
  entry: PluginEntry,
  { configName = STANDALONE_NAME }: PlacementOptions,
): Placement {
  const wanted = { cniVersion: STANDALONE_VERSION, name: PLUGIN_TYPE, ...entry };
  const found = files.find(({ name }) => name === configName);
  if (found !== undefined && isSame(readJson(found.text), wanted)) return { kind: 'intact' };
  return { kind: 'write', name: configName, text: textOf(wanted) };
}

/** The file that the runtime uses: the first by name that is valid; or the one that was named, under either ending. */
function findPrimary(
  files: readonly ConfigFile[],
  { configName, ownedConfigName }: PlacementOptions,
): Primary | undefined {
  const stem = configName?.replace(/\.conf(?:list)?$/, '');
  const candidates = files
    .filter(({ name }) => /\.conf(?:list)?$/.test(name) && name !== ownedConfigName)
    .filter(({ name }) => stem === undefined || name.replace(/\.conf(?:list)?$/, '') === stem)
    // Of two endings the named one.
    .toSorted(
      (a, b) =>
        Number(b.name === configName) - Number(a.name === configName) || (a.name < b.name ? -1 : 1),
    );
  for (const file of candidates) {
    const list = readList(file.name, file.text);
    if (list !== undefined) return { file, list };
  }
  return undefined;
}

/** The list of a file, a single plugin as a list of one; undefined when a runtime would not take it. */
function readList(name: string, text: string): NetworkList | undefined {
  const value = readJson(text);
  if (!isRecord(value) || typeof value['name'] !== 'string' || value['name'] === '')
    return undefined;
  if (!name.endsWith('.conflist')) {
    if (typeof value['type'] !== 'string') return undefined;
    const { cniVersion: _, ...plugin } = value;
    return { cniVersion: STANDALONE_VERSION, name: WRAPPED_NAME, plugins: [plugin] };
  }
  const { plugins } = value;
  const isList = Array.isArray(plugins) && plugins.length > 0 && plugins.every(isRecord);
  return isList ? { ...value, name: value['name'], plugins } : undefined;
}

function withEntry(list: NetworkList, entry: PluginEntry): NetworkList {
  const others = list.plugins.filter(({ type }) => type !== PLUGIN_TYPE);
  return { ...list, plugins: [...others, entry] };
}

function nothingThere({ configName }: PlacementOptions): string {
  return configName === undefined
    ? 'the node has no CNI configuration yet'
    : `the node has no CNI configuration "${configName}" yet`;
}

function textOf(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // somebody else's, or half written: it counts as not there
  }
}

/** Equal as JSON, whatever the order of keys. */
function isSame(one: unknown, other: unknown): boolean {
  return sortedText(one) === sortedText(other);
}

function sortedText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isRecord(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
