import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type LineCounter,
  type Pair,
} from 'yaml';

/** What is wrong in a configuration text, and where: lines and columns count from 1. */
export interface ConfigProblem {
  readonly line: number;
  readonly column: number;
  /** Such as `workloads[0].workloadIps[1]`; empty for the whole text. */
  readonly path: string;
  /** Who that is, as far as the text says: `default/shop, uid "c//Pod/default/shop"`. */
  readonly object?: string;
  readonly message: string;
}

/** Enough to repair a file in one go, few enough to read. */
export const PROBLEMS_MAX = 20;

/** Values read from one text, aliases expanded: 50 for each of 20,000 workloads. Stops aliases of aliases of aliases. */
const VALUES_MAX = 1_000_000;

/** Looking up an alias walks the document, so their number is limited as well. */
const ALIASES_MAX = 1_000;

const TOO_MANY_VALUES = 'Too many values: write the text smaller, without aliases';

/** One text being read: its problems so far, and how much of the budget is left. */
export class ConfigText {
  readonly problems: ConfigProblem[] = [];
  readonly #document: Document;
  readonly #lines: LineCounter;
  /** By path, such as `workloads[3]`. */
  readonly #objects = new Map<string, string>();
  #valuesLeft = VALUES_MAX;
  #aliasesLeft = ALIASES_MAX;

  constructor(document: Document, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  root(): ConfigValue {
    return new ConfigValue(this, this.#document.contents, '', 0);
  }

  report(offset: number, path: string, message: string): void {
    if (this.problems.length >= PROBLEMS_MAX) return;
    const { line, col } = this.#lines.linePos(offset);
    const object = this.#objects.get(path.slice(0, path.indexOf(']') + 1));
    this.problems.push({
      line: Math.max(1, line),
      column: Math.max(1, col),
      path,
      ...(object === undefined ? {} : { object }),
      message,
    });
  }

  /** Problems at this path, and below it, tell whose they are. */
  name(path: string, object: string): void {
    this.#objects.set(path, object);
  }

  /** The node behind an alias, and every other node itself; or why it can't be had. */
  resolve(node: unknown): { readonly node: unknown } | { readonly problem: string } {
    this.#valuesLeft -= 1;
    if (isAlias(node)) this.#aliasesLeft -= 1;
    if (this.#valuesLeft < 0 || this.#aliasesLeft < 0) return { problem: TOO_MANY_VALUES };
    if (!isAlias(node)) return { node };
    const target = node.resolve(this.#document);
    if (target !== undefined) return { node: target };
    return { problem: `No anchor "&${clipped(node.source)}" before` };
  }

  lineOf(offset: number): number {
    return this.#lines.linePos(offset).line;
  }
}

/**
 * One value in a configuration text. Each reading function gives a harmless value after it has
 * reported a problem, so that one pass finds all of them; what was read counts only if there are none.
 */
export class ConfigValue {
  readonly path: string;
  readonly #text: ConfigText;
  readonly #node: unknown;
  readonly #offset: number;
  #hasProblem = false;

  /** `offset`: where to point for a node that has no place of its own, such as a value that is missing. */
  constructor(text: ConfigText, node: unknown, path: string, offset: number) {
    this.#text = text;
    this.#offset = isNode(node) ? (node.range?.[0] ?? offset) : offset;
    this.path = path;
    const resolved = text.resolve(node);
    this.#node = 'problem' in resolved ? null : resolved.node;
    if ('problem' in resolved) this.problem(resolved.problem);
  }

  /** Reports what is wrong with this value. Only the first report counts: others follow from it. */
  problem(message: string): void {
    if (!this.#hasProblem) this.alsoProblem(message);
  }

  /** Reports something that is wrong whatever else is. */
  alsoProblem(message: string): void {
    this.#hasProblem = true;
    this.#text.report(this.#offset, this.path, message);
  }

  /** Says in problems of this item of a list, and of everything in it, who it is. */
  nameAfter(nameFields: readonly [string, ...string[]]): void {
    const key = nameFields.flatMap((name) => this.#peek(name) ?? []).join('/');
    const uid = this.#peek('uid');
    const names = [...(key === '' ? [] : [key]), ...(uid === undefined ? [] : [`uid "${uid}"`])];
    if (names.length > 0) this.#text.name(this.path, names.join(', '));
  }

  get line(): number {
    return this.#text.lineOf(this.#offset);
  }

  /** Whether there is nothing: `null`, `~`, or no text after the colon. */
  isNull(): boolean {
    const node = this.#node;
    return node === null || (isScalar(node) && node.value === null);
  }

  /** A local tag such as `!Exact`; undefined without one. */
  tag(): string | undefined {
    const tag = isNode(this.#node) ? this.#node.tag : undefined;
    return tag?.startsWith('!') === true ? tag : undefined;
  }

  isMapping(): boolean {
    return isMap(this.#node);
  }

  /** Whether a mapping has this name. */
  has(name: string): boolean {
    return isMap(this.#node) && this.#node.has(name);
  }

  isEmptyList(): boolean {
    return isSeq(this.#node) && this.#node.items.length === 0;
  }

  /** Whether the value says nothing: null, an empty text or an empty list. */
  isNothing(): boolean {
    return this.isNull() || this.isEmptyList() || this.taggedText() === '';
  }

  /** The fields of a mapping with fixed names. Every other name is a problem, worded by `explain`. */
  fields(
    known: readonly string[],
    explain: (name: string) => string = (name) => unknownName('field', name, known),
  ): ConfigFields {
    const values = new Map<string, ConfigValue>();
    for (const [name, value] of this.entries()) {
      if (known.includes(name.asText())) values.set(name.asText(), value);
      else name.problem(explain(name.asText()));
    }
    return new ConfigFields(this, values);
  }

  /** The pairs of a mapping, with names as texts: `80` and `"80"` are one name. */
  entries(): readonly (readonly [ConfigValue, ConfigValue])[] {
    if (!this.#isUntagged()) return [];
    if (!isMap(this.#node)) {
      this.problem(`Want a mapping, got ${this.describe()}`);
      return [];
    }
    const names = new Set<string>();
    const entries: (readonly [ConfigValue, ConfigValue])[] = [];
    for (const pair of this.#node.items) {
      const [name, value] = this.#entry(pair);
      const text = name.asText();
      if (!name.#isUntagged()) continue;
      if (names.has(text)) name.problem(`Duplicate name "${text}"`);
      else entries.push([name, value]);
      names.add(text);
    }
    return entries;
  }

  /** The items of a list. */
  items(): readonly ConfigValue[] {
    if (!this.#isUntagged()) return [];
    if (!isSeq(this.#node)) {
      this.problem(`Want a list, got ${this.describe()}`);
      return [];
    }
    return this.#node.items.map(
      (item, index) => new ConfigValue(this.#text, item, `${this.path}[${index}]`, this.#offset),
    );
  }

  text(): string {
    if (this.#isUntagged() && isScalar(this.#node) && typeof this.#node.value === 'string') {
      return this.#node.value;
    }
    this.problem(`Want a text in quotes, got ${this.describe()}`);
    return '';
  }

  /** The value of a tagged scalar, as it was written. */
  taggedText(): string | undefined {
    return isScalar(this.#node) && typeof this.#node.value === 'string'
      ? this.#node.value
      : undefined;
  }

  boolean(): boolean {
    if (this.#isUntagged() && isScalar(this.#node) && typeof this.#node.value === 'boolean') {
      return this.#node.value;
    }
    this.problem(`Want true or false, got ${this.describe()}`);
    return false;
  }

  integer(smallest: number, largest: number): number {
    const value = this.#isUntagged() && isScalar(this.#node) ? this.#node.value : undefined;
    if (typeof value === 'number' && Number.isInteger(value)) {
      if (value >= smallest && value <= largest) return value;
    }
    this.problem(`Want a number from ${smallest} to ${largest}, got ${this.describe()}`);
    return smallest;
  }

  oneOf<const Word extends string>(words: readonly [Word, ...Word[]], hint: string = ''): Word {
    const text = this.text();
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return word;
    this.problem(`Want ${listed(words)}, got "${clipped(text)}"${hint}`);
    return words[0];
  }

  /** The value in a few words, for a message. */
  describe(): string {
    const node = this.#node;
    if (this.isNull()) return 'nothing';
    if (isMap(node)) return 'a mapping';
    if (isSeq(node)) return 'a list';
    return `"${clipped(this.asText())}"`;
  }

  /** A scalar as a text, whatever its type; empty for collections. */
  asText(): string {
    return isScalar(this.#node) ? String(this.#node.value) : '';
  }

  /** The text of a field of a mapping that has not been read yet, if it can be shown. */
  #peek(name: string): string | undefined {
    const value = isMap(this.#node) ? this.#node.get(name) : undefined;
    const isShown = typeof value === 'string' && /^[ -~]+$/.test(value);
    return isShown ? clipped(value) : undefined;
  }

  #entry(pair: Pair): readonly [ConfigValue, ConfigValue] {
    const name = new ConfigValue(this.#text, pair.key, this.path, this.#offset);
    const path = this.path === '' ? name.asText() : `${this.path}.${clipped(name.asText())}`;
    return [
      new ConfigValue(this.#text, pair.key, path, this.#offset),
      new ConfigValue(this.#text, pair.value, path, name.#offset),
    ];
  }

  #isUntagged(): boolean {
    const tag = this.tag();
    if (tag === undefined) return true;
    this.problem(`Want a value without a tag, got ${clipped(tag)}`);
    return false;
  }
}

/** The fields of one mapping. */
export class ConfigFields {
  readonly #owner: ConfigValue;
  readonly #values: ReadonlyMap<string, ConfigValue>;

  constructor(owner: ConfigValue, values: ReadonlyMap<string, ConfigValue>) {
    this.#owner = owner;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Reads a field that must be there. */
  required<T>(name: string, fallback: T, read: (value: ConfigValue) => T): T {
    const value = this.#values.get(name);
    if (value !== undefined) return read(value);
    if (this.#owner.isMapping()) this.#owner.alsoProblem(`Missing field "${name}"`);
    return fallback;
  }

  /** Reads a field that may be left out. */
  optional<T>(name: string, fallback: T, read: (value: ConfigValue) => T): T {
    const value = this.#values.get(name);
    return value === undefined ? fallback : read(value);
  }

  /** Reads a field that may be left out or be null. */
  nullable<T>(name: string, read: (value: ConfigValue) => T): T | undefined {
    const value = this.#values.get(name);
    return value === undefined || value.isNull() ? undefined : read(value);
  }
}

export function unknownName(what: string, name: string, known: readonly string[]): string {
  return `Unknown ${what} "${clipped(name)}": want ${listed(known)}`;
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** What a message quotes of a text: enough to find it. */
const QUOTED_LENGTH_MAX = 80;

function clipped(text: string): string {
  return text.length <= QUOTED_LENGTH_MAX ? text : `${text.slice(0, QUOTED_LENGTH_MAX)}…`;
}
