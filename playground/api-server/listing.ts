import type { FieldProblem } from './errors.ts';
import { badRequest, forbiddenField, gone, invalid, unsupportedValue } from './errors.ts';
import type { Selector } from './fields.ts';
import type { StoredObject } from './object.ts';
import type { Snapshot } from './watch-cache.ts';

/** One page of a list. */
export interface Page {
  readonly items: readonly StoredObject[];
  /** Present when there is more. */
  readonly continueToken?: string;
  readonly remainingItemCount?: number;
}

/** Where a list goes on: after a key, in the state of a version. */
export interface ContinuePoint {
  readonly version: number;
  readonly startAfter: string;
}

/** Collects the selected objects of a snapshot, at most `limit` (0 is all), from a point on. */
export function readPage(
  snapshot: Snapshot,
  selector: Selector,
  options: { readonly limit: number; readonly version: number; readonly startAfter: string },
): Page {
  const items: StoredObject[] = [];
  const { limit, version, startAfter } = options;
  let lastKey = '';
  for (const [index, key] of snapshot.keys.entries()) {
    if (key <= startAfter) continue;
    const object = snapshot.get(key);
    if (object === undefined || !selector.matches(object)) continue;
    if (limit > 0 && items.length === limit) {
      const continueToken = encodeContinue({ version, startAfter: lastKey });
      // With a selector, what remains would have to be counted one by one: the real server does not.
      if (selector.narrows) return { items, continueToken };
      const remainingItemCount = countFrom(snapshot, selector, index);
      return { items, continueToken, remainingItemCount };
    }
    items.push(object);
    lastKey = key;
  }
  return { items };
}

export function encodeContinue(point: ContinuePoint): string {
  const text = JSON.stringify({ v: 'meta.k8s.io/v1', rv: point.version, start: point.startAfter });
  return Buffer.from(text).toString('base64url');
}

/** Reads a continue token; the version -1 stands for "as things are now". Throws the 400 of a wrong one. */
export function decodeContinue(token: string): ContinuePoint {
  const wrong = badRequest('continue key is not valid: it was not given out by this server');
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw wrong;
  }
  if (typeof decoded !== 'object' || decoded === null) throw wrong;
  const { v, rv, start } = decoded as { v?: unknown; rv?: unknown; start?: unknown };
  if (v !== 'meta.k8s.io/v1' || typeof start !== 'string') throw wrong;
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv < -1) throw wrong;
  return { version: rv, startAfter: start };
}

/** The 410 of a continue token whose state is forgotten; it carries a token that goes on all the same. */
export function continueTooOld(point: ContinuePoint): Error {
  return gone(
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
      'the continue parameter, or use the continue token in this response to retrieve the remainder of ' +
      'the results. Continuing with the provided token results in an inconsistent list - objects that were ' +
      'created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    encodeContinue({ version: -1, startAfter: point.startAfter }),
  );
}

/** Reads a resourceVersion of a query; undefined for none. Throws the 400 of one that is no number. */
export function readVersion(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,16}$/u.test(text)) return Number(text);
  const why = `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw badRequest(
    `invalid resource version: resourceVersion: Invalid value: ${JSON.stringify(text)}: ${why}`,
  );
}

/** Refuses the combinations of parameters that contradict each other. */
export function checkListOptions(options: {
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly continueToken?: string | undefined;
}): void {
  const { resourceVersion = '', resourceVersionMatch = '', continueToken = '' } = options;
  if (continueToken !== '' && resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  if (resourceVersionMatch === '') return;
  const problems: FieldProblem[] = [];
  const forbid = (detail: string): unknown => problems.push(forbiddenField(MATCH, detail));
  if (resourceVersion === '')
    forbid('resourceVersionMatch is forbidden unless resourceVersion is provided');
  if (continueToken !== '') forbid('resourceVersionMatch is forbidden when continue is provided');
  if (resourceVersionMatch !== 'Exact' && resourceVersionMatch !== 'NotOlderThan') {
    problems.push(unsupportedValue(MATCH, resourceVersionMatch, ['Exact', 'NotOlderThan', '']));
  }
  if (resourceVersionMatch === 'Exact' && resourceVersion === '0')
    forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  if (problems.length > 0) throw invalid(LIST_OPTIONS, '', problems);
}

/** Refuses what a watch may not ask for, or a list of what is for watches. */
export function checkInitialEvents(
  watching: boolean,
  options: {
    readonly sendInitialEvents?: boolean | undefined;
    readonly resourceVersionMatch?: string | undefined;
  },
): void {
  const { sendInitialEvents, resourceVersionMatch: match = '' } = options;
  const problems: FieldProblem[] = [];
  const asked = sendInitialEvents !== undefined;
  if (!watching) {
    if (!asked) return;
    const detail = 'sendInitialEvents is forbidden for list';
    problems.push(forbiddenField('sendInitialEvents', detail));
  } else if (asked && match !== 'NotOlderThan') {
    const detail = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    problems.push(forbiddenField(MATCH, detail));
  } else if (!asked && match !== '') {
    const detail =
      'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided';
    problems.push(forbiddenField(MATCH, detail));
  }
  if (problems.length > 0) throw invalid(LIST_OPTIONS, '', problems);
}

const LIST_OPTIONS = { group: 'meta.k8s.io', kind: 'ListOptions' };
const MATCH = 'resourceVersionMatch';

function countFrom(snapshot: Snapshot, selector: Selector, from: number): number {
  let count = 0;
  for (let index = from; index < snapshot.keys.length; index += 1) {
    const object = snapshot.get(snapshot.keys[index] ?? '');
    if (object !== undefined && selector.matches(object)) count += 1;
  }
  return count;
}
