import type { JsonObject } from './json.ts';
import { at, deepEqual, isList, objectsAt, own, textAt } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { timestamp } from './object.ts';

/** One condition of a definition's status, without its time. */
interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

/** How far a definition has come; `remaining` counts the objects that are still there. */
export interface DefinitionState {
  /** Why the names cannot be had; undefined when they can. */
  readonly nameConflict: NameConflict | undefined;
  readonly remaining: number;
}

export interface NameConflict {
  readonly reason: string;
  readonly message: string;
}

/** The first of a definition's names that another kind of its group has already. */
export function nameConflictOf(
  definition: ApiObject,
  others: readonly ServedKind[],
): NameConflict | undefined {
  const group = textAt(definition, 'spec', 'group');
  const names = at(definition, 'spec', 'names');
  const inGroup = others.filter((kind) => kind.group === group);
  const resources = new Set(
    inGroup.flatMap(({ plural, singular, shortNames }) => [plural, singular, ...shortNames]),
  );
  const kinds = new Set(inGroup.flatMap(({ kind, listKind }) => [kind, listKind]));
  const shortNames = own(names, 'shortNames');
  const wanted: readonly (readonly [string, unknown, ReadonlySet<string>])[] = [
    ['PluralConflict', own(names, 'plural'), resources],
    ['SingularConflict', own(names, 'singular'), resources],
    ...(isList(shortNames) ? shortNames : []).map(
      (name) => ['ShortNamesConflict', name, resources] as const,
    ),
    ['KindConflict', own(names, 'kind'), kinds],
    ['ListKindConflict', own(names, 'listKind'), kinds],
  ];
  for (const [reason, name, taken] of wanted) {
    if (typeof name === 'string' && taken.has(name)) {
      return { reason, message: `${JSON.stringify(name)} is already in use` };
    }
  }
  return undefined;
}

export function isEstablished(definition: ApiObject): boolean {
  return objectsAt(definition, 'status', 'conditions').some(
    ({ type, status }) => type === 'Established' && status === 'True',
  );
}

/** The status that a definition gets (pure): the present one where it says so already. */
export function definitionStatus(
  definition: ApiObject,
  state: DefinitionState,
  nowMs: number,
): JsonObject {
  const { nameConflict } = state;
  const isServed = nameConflict === undefined || isEstablished(definition);
  const conditions = conditionsOf(definition, state, isServed);
  const present = objectsAt(definition, 'status', 'conditions');
  return {
    conditions: conditions.map((condition) => timed(condition, present, nowMs)),
    acceptedNames:
      nameConflict === undefined
        ? at(definition, 'spec', 'names')
        : (at(definition, 'status', 'acceptedNames') ?? { plural: '', kind: '' }),
    storedVersions: storedVersions(definition),
  };
}

function conditionsOf(
  definition: ApiObject,
  { nameConflict, remaining }: DefinitionState,
  isServed: boolean,
): readonly Condition[] {
  const names: Condition =
    nameConflict === undefined
      ? {
          type: 'NamesAccepted',
          status: 'True',
          reason: 'NoConflicts',
          message: 'no conflicts found',
        }
      : { type: 'NamesAccepted', status: 'False', ...nameConflict };
  const established: Condition = isServed
    ? {
        type: 'Established',
        status: 'True',
        reason: 'InitialNamesAccepted',
        message: 'the initial names have been accepted',
      }
    : {
        type: 'Established',
        status: 'False',
        reason: 'NotAccepted',
        message: 'not all names are accepted',
      };
  if (definition.metadata.deletionTimestamp === undefined) return [names, established];
  const terminating: Condition = {
    type: 'Terminating',
    status: 'True',
    reason: 'InstanceDeletionInProgress',
    message:
      remaining === 0
        ? 'CustomResource deletion is in progress'
        : `CustomResource deletion is in progress: ${remaining} remaining`,
  };
  return [names, established, terminating];
}

function timed(condition: Condition, present: readonly JsonObject[], nowMs: number): JsonObject {
  const before = present.find(({ type }) => type === condition.type);
  const { lastTransitionTime = timestamp(nowMs), ...rest } = before ?? {};
  if (deepEqual(rest, condition) && before !== undefined) return before;
  const sameStatus = own(before, 'status') === condition.status;
  return {
    ...condition,
    lastTransitionTime: sameStatus ? lastTransitionTime : timestamp(nowMs),
  };
}

/** All versions that objects may have been kept in. */
function storedVersions(definition: ApiObject): readonly unknown[] {
  const before = at(definition, 'status', 'storedVersions');
  const known = isList(before) ? before : [];
  const current = objectsAt(definition, 'spec', 'versions').find(
    (version) => own(version, 'storage') === true,
  );
  const name = textAt(current, 'name');
  return known.includes(name) ? known : [...known, name];
}
