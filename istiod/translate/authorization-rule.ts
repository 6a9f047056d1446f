import { create } from '@bufbuild/protobuf';

import {
  Action,
  type Clause,
  ClauseSchema,
  type Match,
  MatchSchema,
  type Rule,
  RuleSchema,
} from '#api/gen/authorization_pb.ts';

import { isBlank, list, record, type Written } from '../model/written.ts';
import {
  ATTRIBUTES,
  everything,
  isEmptyMatch,
  type MatchField,
  readAttribute,
} from './authorization-attribute.ts';

export interface RuleContext {
  readonly action: Action;
  /** The policy's: service accounts without one are in it. */
  readonly namespace: string;
}

export interface TranslatedRule {
  /** Undefined: left out. */
  readonly rule: Rule | undefined;
  /** Attributes that can't be decided here. */
  readonly unsupported: readonly string[];
  /** Values that are not what their attribute wants. */
  readonly unreadable: readonly string[];
  /** Whether the rule can match anything. */
  readonly effective: boolean;
}

/** The attributes of an operation and of a source, as they are written → the wire's field. */
const OPERATION: ReadonlyMap<string, MatchField> = new Map([
  ['ports', 'destinationPorts'],
  ['notPorts', 'notDestinationPorts'],
]);
const SOURCE: ReadonlyMap<string, MatchField> = new Map([
  ['principals', 'principals'],
  ['notPrincipals', 'notPrincipals'],
  ['namespaces', 'namespaces'],
  ['notNamespaces', 'notNamespaces'],
  ['serviceAccounts', 'serviceAccounts'],
  ['notServiceAccounts', 'notServiceAccounts'],
  ['ipBlocks', 'sourceIps'],
  ['notIpBlocks', 'notSourceIps'],
]);
const WHEN: ReadonlyMap<string, readonly [values: MatchField, notValues: MatchField]> = new Map([
  ['source.ip', ['sourceIps', 'notSourceIps']],
  ['source.namespace', ['namespaces', 'notNamespaces']],
  ['source.principal', ['principals', 'notPrincipals']],
  ['destination.ip', ['destinationIps', 'notDestinationIps']],
  ['destination.port', ['destinationPorts', 'notDestinationPorts']],
]);

/** Translates one rule: its operations, its sources and each of its conditions are ANDed. */
export function translateRule(written: unknown, context: RuleContext): TranslatedRule {
  const notes: Notes = { unsupported: [], unreadable: [] };
  const rule = record(written);
  const clauses: Clause[] = [];
  const operations = list(rule['to']).map((one) => record(record(one)['operation']));
  const sources = list(rule['from']).map((one) => record(record(one)['source']));
  for (const [alternatives, fields] of [
    [operations, OPERATION],
    [sources, SOURCE],
  ] as const) {
    if (alternatives.length === 0) continue;
    clauses.push(clause(alternatives.map((one) => attributesMatch(one, fields, context, notes))));
  }
  for (const condition of list(rule['when'])) {
    clauses.push(clause([conditionMatch(record(condition), context, notes)]));
  }
  noteOthers(rule, ['from', 'to', 'when'], notes);
  const omitted = context.action === Action.ALLOW && hasNotes(notes);
  return {
    ...notes,
    rule: omitted ? undefined : create(RuleSchema, { clauses }),
    effective: !omitted && clauses.every(({ matches }) => !matches.every(isEmptyMatch)),
  };
}

interface Notes {
  readonly unsupported: string[];
  readonly unreadable: string[];
}

function attributesMatch(
  written: Written,
  fields: ReadonlyMap<string, MatchField>,
  context: RuleContext,
  notes: Notes,
): Match {
  const parts: Part[] = [];
  for (const [name, values] of Object.entries(written)) {
    const field = fields.get(name);
    if (field === undefined) {
      if (!isBlank(values)) notes.unsupported.push(name);
    } else parts.push([field, values]);
  }
  return match(parts, context, notes);
}

function conditionMatch(condition: Written, context: RuleContext, notes: Notes): Match {
  const key = String(condition['key']);
  const fields = WHEN.get(key);
  if (fields === undefined) {
    notes.unsupported.push(key);
    return create(MatchSchema);
  }
  const [values, notValues] = fields;
  const parts: Part[] = [
    [values, condition['values']],
    [notValues, condition['notValues']],
  ];
  return match(parts, context, notes);
}

type Part = readonly [field: MatchField, values: unknown];

/**
 * All parts hold. A part with a value that can't be read is taken to hold always (for DENY; a rule of
 * ALLOW is left out by the caller): when nothing else is said, so does the match.
 */
function match(parts: readonly Part[], { namespace }: RuleContext, notes: Notes): Match {
  const result = create(MatchSchema);
  let unread = false;
  for (const [field, values] of parts) {
    if (isBlank(values)) continue;
    const read = readAttribute(field, values, namespace);
    if (read.kind === 'unreadable') {
      notes.unreadable.push(`${ATTRIBUTES[field]} ${read.value}`);
      unread = true;
    } else read.into(result);
  }
  return unread && isEmptyMatch(result) ? everything() : result;
}

function clause(matches: readonly Match[]): Clause {
  return create(ClauseSchema, { matches: [...matches] });
}

/** A field that this code has never heard of is a condition that it can't decide. */
function noteOthers(written: Written, known: readonly string[], notes: Notes): void {
  for (const [name, value] of Object.entries(written)) {
    if (!known.includes(name) && !isBlank(value)) notes.unsupported.push(name);
  }
}

function hasNotes({ unsupported, unreadable }: Notes): boolean {
  return unsupported.length > 0 || unreadable.length > 0;
}
