import { deepCopy, deepEqual, isList, isObject } from '../json.ts';

/** A patched document, or why the patch does not apply; `fault` says whether it is the patch that is wrong. */
export type JsonPatchResult =
  | { readonly kind: 'patched'; readonly value: unknown }
  | { readonly kind: 'malformed' | 'inapplicable'; readonly message: string };

// A patch is written by hand or by a controller; more than this is a mistake or an attack.
const OPERATIONS_MAX = 10_000;

/** Applies a JSON patch (RFC 6902): all of its operations or, when one fails, none. */
export function jsonPatch(target: unknown, patch: unknown): JsonPatchResult {
  if (!isList(patch)) {
    return malformed('json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp');
  }
  if (patch.length > OPERATIONS_MAX) {
    return malformed(
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${patch.length}`,
    );
  }
  const document = { root: deepCopy(target) };
  for (const operation of patch) {
    const problem = isObject(operation)
      ? applyOperation(document, operation)
      : malformed('a JSON patch is a list of operations, each of them an object');
    if (problem !== undefined) return problem;
  }
  return { kind: 'patched', value: document.root };
}

type Problem = Extract<JsonPatchResult, { message: string }>;

interface Document {
  root: unknown;
}

function applyOperation(
  document: Document,
  operation: Record<string, unknown>,
): Problem | undefined {
  const { op, path, from, value } = operation;
  const target = readPointer(path);
  if (target === undefined)
    return malformed(`"path" of a "${String(op)}" operation is no JSON pointer`);
  const valueGiven = Object.hasOwn(operation, 'value');
  switch (op) {
    case 'add':
      return valueGiven ? add(document, target, deepCopy(value)) : valueMissing(op);
    case 'replace':
      return valueGiven ? replace(document, target, deepCopy(value)) : valueMissing(op);
    case 'test':
      return test(document, target, value);
    case 'remove':
      return remove(document, target);
    case 'move':
    case 'copy':
      return transfer(document, op, readPointer(from), target);
    default:
      return inapplicable(`Unexpected kind: ${String(op)}`);
  }
}

function add(document: Document, path: readonly string[], value: unknown): Problem | undefined {
  const last = path.at(-1);
  if (last === undefined) {
    document.root = value;
    return undefined;
  }
  const parent = find(document.root, path.slice(0, -1));
  if (isObject(parent)) {
    parent[last] = value;
    return undefined;
  }
  if (!isList(parent)) return missing('add', path);
  const index = last === '-' ? parent.length : listIndex(last);
  if (index === undefined || index > parent.length) return missing('add', path);
  parent.splice(index, 0, value);
  return undefined;
}

function remove(document: Document, path: readonly string[]): Problem | undefined {
  const last = path.at(-1);
  const parent = find(document.root, path.slice(0, -1));
  if (last === undefined) return missing('remove', path);
  if (isObject(parent) && Object.hasOwn(parent, last)) {
    delete parent[last];
    return undefined;
  }
  const index = listIndex(last);
  if (!isList(parent) || index === undefined || index >= parent.length)
    return missing('remove', path);
  parent.splice(index, 1);
  return undefined;
}

function replace(document: Document, path: readonly string[], value: unknown): Problem | undefined {
  const last = path.at(-1);
  if (last === undefined) {
    document.root = value;
    return undefined;
  }
  const parent = find(document.root, path.slice(0, -1));
  if (isObject(parent) && Object.hasOwn(parent, last)) {
    parent[last] = value;
    return undefined;
  }
  const index = listIndex(last);
  if (!isList(parent) || index === undefined || index >= parent.length)
    return missing('replace', path);
  parent[index] = value;
  return undefined;
}

function test(document: Document, path: readonly string[], value: unknown): Problem | undefined {
  const found = find(document.root, path);
  // Kubernetes takes a test for null as passed when the field is absent.
  if (deepEqual(found ?? null, value ?? null)) return undefined;
  return inapplicable(`testing value ${pointer(path)} failed: test failed`);
}

function transfer(
  document: Document,
  op: 'move' | 'copy',
  from: readonly string[] | undefined,
  path: readonly string[],
): Problem | undefined {
  if (from === undefined) return malformed(`"from" of a "${op}" operation is no JSON pointer`);
  const value = find(document.root, from);
  if (value === undefined) return missing(op, from);
  // RFC 6902, section 4.4: a value cannot be moved into itself.
  if (
    op === 'move' &&
    path.length > from.length &&
    from.every((step, index) => step === path[index])
  ) {
    return inapplicable(`cannot move ${pointer(from)} into itself`);
  }
  const copied = deepCopy(value);
  return (op === 'move' ? remove(document, from) : undefined) ?? add(document, path, copied);
}

function find(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const step of path) {
    if (isObject(value)) value = Object.hasOwn(value, step) ? value[step] : undefined;
    else if (isList(value)) value = value[listIndex(step) ?? -1];
    else return undefined;
  }
  return value;
}

/** RFC 6901: "" is the whole document, "~1" is "/" and "~0" is "~". */
function readPointer(text: unknown): readonly string[] | undefined {
  if (typeof text !== 'string' || (text !== '' && !text.startsWith('/'))) return undefined;
  return text
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function listIndex(step: string): number | undefined {
  return /^(0|[1-9]\d{0,8})$/u.test(step) ? Number(step) : undefined;
}

function pointer(path: readonly string[]): string {
  return path.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function missing(op: string, path: readonly string[]): Problem {
  return inapplicable(
    `${op} operation does not apply: doc is missing path: "${pointer(path)}": missing value`,
  );
}

function valueMissing(op: string): Problem {
  return malformed(`a "${op}" operation needs a "value"`);
}

function malformed(message: string): Problem {
  return { kind: 'malformed', message };
}

function inapplicable(message: string): Problem {
  return { kind: 'inapplicable', message };
}
