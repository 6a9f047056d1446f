/** One step into an object. */
type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'all' }
  /** Elements whose field has this value. */
  | {
      readonly kind: 'filter';
      readonly path: readonly string[];
      readonly equal: boolean;
      readonly value: string;
    };

/** A path as printer columns write it, read once; undefined when it has parts that we do not know. */
export type JsonPath = readonly Step[];

/** Longer paths are no columns. */
const PATH_LENGTH_MAX = 1024;

const FIELD = /^\.?((?:\\.|[^.[\]\\])+)/;
const QUOTED_FIELD = /^\['((?:\\.|[^'\\])*)'\]/;
const INDEX = /^\[(-?\d+)\]/;
const EVERY = /^(?:\[\*\]|\.\*)/;
const FILTER = /^\[\?\(\s*@((?:\.[\w-]+)+)\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+))\s*\)\]/;

/** Reads `.status.conditions[?(@.type=="Ready")].status` and its kind; with or without braces around it. */
export function parseJsonPath(text: string): JsonPath | undefined {
  if (text.length > PATH_LENGTH_MAX) return undefined;
  let rest = text
    .trim()
    .replace(/^\{(.*)\}$/, '$1')
    .replace(/^\$/, '');
  const steps: Step[] = [];
  while (rest !== '' && rest !== '.') {
    const read = readStep(rest);
    if (read === undefined) return undefined;
    steps.push(read.step);
    rest = rest.slice(read.length);
  }
  return steps;
}

/** Every value that the path leads to. */
export function evaluateJsonPath(path: JsonPath, object: unknown): readonly unknown[] {
  let values: readonly unknown[] = [object];
  for (const step of path) values = values.flatMap((value) => follow(step, value));
  return values;
}

function readStep(text: string): { step: Step; length: number } | undefined {
  const every = EVERY.exec(text);
  if (every !== null) return { step: { kind: 'all' }, length: every[0].length };
  const index = INDEX.exec(text);
  if (index !== null)
    return { step: { kind: 'index', index: Number(index[1]) }, length: index[0].length };
  const filter = FILTER.exec(text);
  if (filter !== null) {
    const [all, path = '', operator, double, single, bare] = filter;
    const value = double ?? single ?? bare ?? '';
    const step: Step = {
      kind: 'filter',
      path: path.slice(1).split('.'),
      equal: operator === '==',
      value,
    };
    return { step, length: all.length };
  }
  const field = QUOTED_FIELD.exec(text) ?? FIELD.exec(text);
  if (field === null) return undefined;
  const name = (field[1] ?? '').replace(/\\(.)/g, '$1');
  return { step: { kind: 'field', name }, length: field[0].length };
}

function follow(step: Step, value: unknown): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  switch (step.kind) {
    case 'field':
      return Object.hasOwn(value, step.name) ? [(value as Record<string, unknown>)[step.name]] : [];
    case 'index': {
      const element = Array.isArray(value) ? value.at(step.index) : undefined;
      return element === undefined ? [] : [element];
    }
    case 'all':
      return Object.values(value);
    case 'filter':
      return Object.values(value).filter((element) => matches(step, element));
  }
}

function matches(filter: Extract<Step, { kind: 'filter' }>, element: unknown): boolean {
  let value: unknown = element;
  for (const name of filter.path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false;
    value = (value as Record<string, unknown>)[name];
  }
  return (String(value) === filter.value) === filter.equal;
}
