/** One condition on one label, in the operators of metav1.LabelSelectorRequirement and of query strings. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  /** Empty for Exists and DoesNotExist, one number for Gt and Lt. */
  readonly values: readonly string[];
}

/** metav1.LabelSelector: how objects write a selector. An empty one matches everything. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export type Labels = Readonly<Record<string, string>>;

/** What a `labelSelector` parameter holds, or why it cannot be read (worded as an API server does). */
export type ParsedLabelSelector =
  | { readonly kind: 'requirements'; readonly requirements: readonly LabelRequirement[] }
  | { readonly kind: 'error'; readonly message: string };

export interface FieldTerm {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
}

/** What a `fieldSelector` parameter holds, or why it cannot be read. */
export type ParsedFieldSelector =
  | { readonly kind: 'terms'; readonly terms: readonly FieldTerm[] }
  | { readonly kind: 'error'; readonly message: string };

/** Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. An empty text matches everything. */
export function parseLabelSelector(text: string): ParsedLabelSelector {
  const reader = new SelectorReader(text);
  const requirements: LabelRequirement[] = [];
  if (reader.atEnd()) return { kind: 'requirements', requirements };
  for (;;) {
    const requirement = readRequirement(reader);
    if (typeof requirement === 'string') return unreadable(requirement);
    requirements.push(requirement);
    if (reader.atEnd()) return { kind: 'requirements', requirements };
    if (!reader.take(','))
      return unreadable(`found '${reader.rest()}', expected: ',' or 'end of string'`);
    if (reader.atEnd()) return unreadable(`found '', expected: identifier after ','`);
  }
}

/** Whether `labels` fulfil a selector, in the form of an object or of a parsed text. */
export function matchesLabels(
  selector: LabelSelector | readonly LabelRequirement[],
  labels: Labels | undefined,
): boolean {
  const requirements = isRequirements(selector) ? selector : labelRequirements(selector);
  return requirements.every((requirement) => fulfils(requirement, labels ?? {}));
}

/** The conditions of a selector object, matchLabels first. */
export function labelRequirements(selector: LabelSelector): readonly LabelRequirement[] {
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    requirements.push({ key, operator: 'In', values: [value] });
  }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    // An operator that does not exist is refused when the object is written; here it matches nothing.
    requirements.push(
      isOperator(operator)
        ? { key, operator, values: values ?? [] }
        : { key, operator: 'In', values: [] },
    );
  }
  return requirements;
}

/** The text form of a selector object, as `status.selector` of a Scale and query strings have it. */
export function formatLabelSelector(selector: LabelSelector): string {
  return labelRequirements(selector).map(formatRequirement).join(',');
}

/** Reads `metadata.name=a,status.phase!=Running`; `\` escapes `,`, `=` and itself in a value. */
export function parseFieldSelector(text: string): ParsedFieldSelector {
  const terms: FieldTerm[] = [];
  for (const part of splitUnescaped(text)) {
    if (part === '') continue;
    const found = /^(.*?)(!=|==|=)(.*)$/su.exec(part);
    if (found === null) {
      return { kind: 'error', message: `invalid selector: '${text}'; can't understand '${part}'` };
    }
    const [, path = '', operator = '', value = ''] = found;
    terms.push({ path, equal: operator !== '!=', value: value.replace(/\\([\\,=])/gu, '$1') });
  }
  return { kind: 'terms', terms };
}

/** Whether an object whose fields `read` gives ('' for absent) fulfils every term. */
export function matchesFields(
  terms: readonly FieldTerm[],
  read: (path: string) => string,
): boolean {
  return terms.every(({ path, equal, value }) => (read(path) === value) === equal);
}

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'] as const;

function isOperator(text: string): text is LabelRequirement['operator'] {
  return OPERATORS.some((operator) => operator === text);
}

function isRequirements(
  selector: LabelSelector | readonly LabelRequirement[],
): selector is readonly LabelRequirement[] {
  return Array.isArray(selector);
}

function fulfils({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return isInteger(value) && Number(value) > Number(values[0]);
    case 'Lt':
      return isInteger(value) && Number(value) < Number(values[0]);
  }
}

function isInteger(text: string | undefined): text is string {
  return text !== undefined && /^[-+]?\d+$/u.test(text);
}

function formatRequirement({ key, operator, values }: LabelRequirement): string {
  switch (operator) {
    case 'In':
      return values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(',')})`;
    case 'NotIn':
      return values.length === 1 ? `${key}!=${values[0]}` : `${key} notin (${values.join(',')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
    case 'Gt':
      return `${key}>${values[0]}`;
    case 'Lt':
      return `${key}<${values[0]}`;
  }
}

function unreadable(message: string): ParsedLabelSelector {
  return { kind: 'error', message: `unable to parse requirement: ${message}` };
}

function readRequirement(reader: SelectorReader): LabelRequirement | string {
  const absent = reader.take('!');
  const key = reader.word();
  const keyProblem = labelKeyProblem(key);
  if (key === '') return `found '${reader.rest()}', expected: identifier`;
  if (keyProblem !== undefined)
    return `<nil>: Invalid value: ${JSON.stringify(key)}: ${keyProblem}`;
  if (absent) return { key, operator: 'DoesNotExist', values: [] };
  if (reader.atEnd() || reader.peek() === ',') return { key, operator: 'Exists', values: [] };
  return readComparison(reader, key);
}

function readComparison(reader: SelectorReader, key: string): LabelRequirement | string {
  if (reader.take('!=')) return withValues(key, 'NotIn', [reader.word()]);
  if (reader.take('==') || reader.take('=')) return withValues(key, 'In', [reader.word()]);
  if (reader.take('>')) return withNumber(key, 'Gt', reader.word());
  if (reader.take('<')) return withNumber(key, 'Lt', reader.word());
  const word = reader.word();
  if (word !== 'in' && word !== 'notin') {
    const found = word === '' ? reader.rest() : word;
    return `found '${found}', expected: in, notin, =, ==, !=, gt, lt`;
  }
  if (!reader.take('(')) return `found '${reader.rest()}', expected: '('`;
  const values = [reader.word()];
  while (reader.take(',')) values.push(reader.word());
  if (!reader.take(')')) return `found '${reader.rest()}', expected: ',' or ')'`;
  return withValues(key, word === 'in' ? 'In' : 'NotIn', values);
}

function withValues(
  key: string,
  operator: 'In' | 'NotIn',
  values: readonly string[],
): LabelRequirement | string {
  const wrong = values.find((value) => labelValueProblem(value) !== undefined);
  if (wrong === undefined) return { key, operator, values };
  return `values[${values.indexOf(wrong)}][${key}]: Invalid value: ${JSON.stringify(wrong)}: ${labelValueProblem(wrong)}`;
}

function withNumber(key: string, operator: 'Gt' | 'Lt', value: string): LabelRequirement | string {
  if (isInteger(value)) return { key, operator, values: [value] };
  return `values[0]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`;
}

const LABEL_NAME_LENGTH_MAX = 63;
const LABEL_PREFIX_LENGTH_MAX = 253;

/** Why a text cannot be the key of a label or annotation ("prefix/name"); undefined if it can. */
export function labelKeyProblem(key: string): string | undefined {
  const parts = key.split('/');
  const name = parts.at(-1) ?? '';
  if (parts.length > 2) {
    return "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
  }
  const [prefix = ''] = parts;
  if (parts.length === 2 && prefix === '') return 'prefix part must be non-empty';
  if (parts.length === 2 && prefix.length > LABEL_PREFIX_LENGTH_MAX) {
    return `prefix part must be no more than ${LABEL_PREFIX_LENGTH_MAX} characters`;
  }
  if (
    parts.length === 2 &&
    !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/u.test(prefix)
  ) {
    return "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
  }
  if (name === '') return 'name part must be non-empty';
  if (name.length > LABEL_NAME_LENGTH_MAX) {
    return `name part must be no more than ${LABEL_NAME_LENGTH_MAX} characters`;
  }
  if (/^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/u.test(name)) return undefined;
  return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
}

/** Why a text cannot be the value of a label; undefined if it can. */
export function labelValueProblem(value: string): string | undefined {
  if (value.length > LABEL_NAME_LENGTH_MAX) {
    return `must be no more than ${LABEL_NAME_LENGTH_MAX} characters`;
  }
  if (/^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/u.test(value)) return undefined;
  return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
}

function splitUnescaped(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '\\') {
      part += text.slice(at, at + 2);
      at += 1;
    } else if (character === ',') {
      parts.push(part);
      part = '';
    } else {
      part += character;
    }
  }
  return [...parts, part];
}

/** Walks over a selector text token by token; white space between tokens does not count. */
class SelectorReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#skipSpace();
  }

  atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  peek(): string {
    return this.#text.charAt(this.#at);
  }

  rest(): string {
    return this.#text.slice(this.#at);
  }

  take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    this.#skipSpace();
    return true;
  }

  /** The characters up to the next space or special character; '' if there are none. */
  word(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && !/[\s=!(),<>]/u.test(this.peek())) this.#at += 1;
    const word = this.#text.slice(start, this.#at);
    this.#skipSpace();
    return word;
  }

  #skipSpace(): void {
    while (/\s/u.test(this.peek())) this.#at += 1;
  }
}
