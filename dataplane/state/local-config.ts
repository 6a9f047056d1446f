import {
  type CollectionTag,
  LineCounter,
  parseDocument,
  type ScalarTag,
  type YAMLError,
} from 'yaml';

import { keyOfPolicy, type Policy } from './authorization.ts';
import { readPolicy } from './config-policy.ts';
import { readService } from './config-service.ts';
import { type ConfigProblem, ConfigText, type ConfigValue } from './config-value.ts';
import { readWorkload } from './config-workload.ts';
import type { MeshSnapshot } from './delta.ts';
import { type Service, serviceKey } from './service.ts';
import type { Workload } from './workload.ts';

export type LocalConfig =
  | {
      readonly kind: 'ok';
      readonly snapshot: MeshSnapshot;
      /** The text does not say that there are no policies: it has no list of them. */
      readonly lacksPolicies?: true;
    }
  | {
      readonly kind: 'refused';
      readonly fileName: string;
      /** In the order of the text, at most {@link PROBLEMS_MAX}. */
      readonly problems: readonly ConfigProblem[];
    };

/** Characters of a text: some 20,000 workloads. Local configuration is for tests and small set-ups. */
export const LOCAL_CONFIG_LENGTH_MAX = 16_777_216;

/** Of a text that is not YAML at all: what comes after the first mistakes follows from them. */
const SYNTAX_PROBLEMS_MAX = 3;

/**
 * Reads a mesh from YAML or JSON: `workloads`, `services` and `policies`, each a list that may be
 * missing, in the shape of the admin page's dump (see dump.ts). A text with any problem is refused as
 * a whole, with all of its problems: half a policy list would be a weaker mesh. Never throws.
 */
export function parseLocalConfig(text: string, fileName: string): LocalConfig {
  if (text.length > LOCAL_CONFIG_LENGTH_MAX) {
    const message = `Want at most ${LOCAL_CONFIG_LENGTH_MAX} characters, got ${text.length}`;
    return refused(fileName, [atStart(message)]);
  }
  const lines = new LineCounter();
  const document = parseYaml(text, lines);
  if (document === undefined) {
    return refused(fileName, [atStart(NESTED_TOO_DEEPLY)]);
  }
  const config = new ConfigText(document, lines);
  for (const problem of [...document.errors, ...document.warnings]) {
    // Unknown tags are left to the readers, which know what was wanted in their place.
    if (problem.code === 'TAG_RESOLVE_FAILED') continue;
    if (config.problems.length >= SYNTAX_PROBLEMS_MAX) break;
    config.report(problem.pos[0], '', yamlProblem(problem));
  }
  if (config.problems.length > 0) return refused(fileName, config.problems);
  const root = config.root();
  const snapshot = readSnapshot(root);
  if (config.problems.length > 0) return refused(fileName, config.problems);
  return { kind: 'ok', snapshot, ...(root.has('policies') ? {} : { lacksPolicies: true }) };
}

/**
 * One line for each problem: `file:line:column: path (object): message`. What the text has of control characters
 * is shown escaped: it may be any file, and who reads this may be a terminal.
 */
export function describeProblems(fileName: string, problems: readonly ConfigProblem[]): string {
  return problems
    .map(({ line, column, path, object, message }) => {
      const place = object === undefined ? path : `${path} (${object})`;
      const parts = [`${fileName}:${line}:${column}`, ...(place === '' ? [] : [place]), message];
      return parts.join(': ').replaceAll(CONTROL_CHARACTERS, escaped);
    })
    .join('\n');
}

const CONTROL_CHARACTERS = /\p{Cc}/gu;

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return character === '\n' ? '\\n' : `\\x${code.toString(16).padStart(2, '0')}`;
}

function readSnapshot(root: ConfigValue): MeshSnapshot {
  if (root.isNull()) {
    root.problem('Empty: want a mapping with "workloads", "services" and "policies"');
    return { workloads: [], services: [], policies: [] };
  }
  const fields = root.fields(['workloads', 'services', 'policies']);
  const policies = fields.optional<readonly Entry<Policy>[]>('policies', [], (list) =>
    readUnique(named(list.items(), ['namespace', 'name']), readPolicy, keyOfPolicy),
  );
  const services = fields.optional<readonly Entry<Service>[]>('services', [], (list) =>
    readUnique(named(list.items(), ['namespace', 'hostname']), readService, serviceKey),
  );
  const workloads = fields.optional<readonly Entry<Workload>[]>('workloads', [], (list) =>
    readUnique(named(list.items(), ['namespace', 'name']), readWorkload, ({ uid }) => uid),
  );
  checkPolicyNames(workloads, policies);
  return {
    workloads: workloads.map(({ item }) => item),
    services: services.map(({ item }) => item),
    policies: policies.map(({ item }) => item),
  };
}

interface Entry<Item> {
  readonly item: Item;
  readonly value: ConfigValue;
}

/** A number in a list is hard to find in a long text: problems have the names that a person knows, too. */
function named(
  items: readonly ConfigValue[],
  nameFields: readonly [string, ...string[]],
): readonly ConfigValue[] {
  for (const item of items) item.nameAfter(nameFields);
  return items;
}

function readUnique<Item>(
  list: readonly ConfigValue[],
  read: (value: ConfigValue) => Item,
  keyOf: (item: Item) => string,
): readonly Entry<Item>[] {
  const lineOfKey = new Map<string, number>();
  const entries: Entry<Item>[] = [];
  for (const value of list) {
    const item = read(value);
    const key = keyOf(item);
    const line = lineOfKey.get(key);
    if (line !== undefined) value.problem(`"${key}" is already in line ${line}`);
    lineOfKey.set(key, line ?? value.line);
    entries.push({ item, value });
  }
  return entries;
}

/** A policy that never arrives denies every connection, so a name without a policy is surely a mistake here. */
function checkPolicyNames(
  workloads: readonly Entry<Workload>[],
  policies: readonly Entry<Policy>[],
): void {
  const known = new Set(policies.map(({ item }) => keyOfPolicy(item)));
  for (const { item, value } of workloads) {
    for (const key of item.authorizationPolicies) {
      if (!known.has(key)) value.alsoProblem(`Policy "${key}" is not in "policies"`);
    }
  }
}

/** Undefined when the text is nested so deeply that the parser runs out of stack. */
function parseYaml(
  text: string,
  lineCounter: LineCounter,
): ReturnType<typeof parseDocument> | undefined {
  try {
    return parseDocument(text, {
      lineCounter,
      customTags: STRING_MATCH_TAGS,
      // At 'silent', a second document would be dropped without a word.
      logLevel: 'error',
      prettyErrors: false,
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const NESTED_TOO_DEEPLY = 'Lists and mappings are nested too deeply';

function taggedText(tag: string): ScalarTag {
  return { tag, resolve: (text) => text };
}

const PRESENCE_LIST: CollectionTag = { tag: '!Presence', collection: 'seq' };
const STRING_MATCH_TAGS = [
  ...['!Exact', '!Prefix', '!Suffix', '!Presence'].map(taggedText),
  PRESENCE_LIST,
];

function yamlProblem(error: YAMLError): string {
  if (error.code === 'MULTIPLE_DOCS') return 'Want one document, got another one after it';
  // The parser reports some of its own exceptions as errors of the text.
  if (error.message.startsWith('Maximum call stack')) return NESTED_TOO_DEEPLY;
  return `Not YAML: ${error.message.split('\n', 1)[0]}`;
}

function atStart(message: string): ConfigProblem {
  return { line: 1, column: 1, path: '', message };
}

function refused(fileName: string, problems: readonly ConfigProblem[]): LocalConfig {
  const inOrder = problems.toSorted(
    (one, other) => one.line - other.line || one.column - other.column,
  );
  return { kind: 'refused', fileName, problems: inOrder };
}
