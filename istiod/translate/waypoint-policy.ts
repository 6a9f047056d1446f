import { create } from '@bufbuild/protobuf';

import {
  Action,
  type Condition,
  ConditionSchema,
  type Operation,
  OperationSchema,
  type PolicyRule,
  PolicyRuleSchema,
  type Source,
  SourceSchema,
  type TextMatch,
} from '#api/gen/waypoint_pb.ts';

import type { AuthorizationPolicyRecord } from '../model/policy.ts';
import { isBlank, list, record, type Written } from '../model/written.ts';
import {
  accountMatch,
  block,
  blockMatch,
  pathMatch,
  portMatch,
  portNumber,
  type ReadValue,
  textMatch,
} from './waypoint-policy-text.ts';

/** What waypoints enforce of a policy, wherever it is attached. */
export interface WaypointPolicy {
  readonly action: Action;
  readonly rules: readonly PolicyRule[];
  /** What can't be enforced as it is written, and what is done instead. Undefined: all of it is. */
  readonly limitation: string | undefined;
}

const ACTIONS: ReadonlyMap<unknown, Action> = new Map<unknown, Action>([
  [undefined, Action.ALLOW],
  ['ALLOW', Action.ALLOW],
  ['DENY', Action.DENY],
  ['AUDIT', Action.AUDIT],
]);

/**
 * Takes over the rules of a policy. What waypoints can't decide makes it stricter: an ALLOW rule is left out as a whole,
 * a DENY rule is enforced without that part. An action that asks somebody else (CUSTOM) denies what it would ask about.
 */
export function translateWaypointPolicy({
  namespace,
  action: said,
  rules,
}: AuthorizationPolicyRecord): WaypointPolicy {
  const known = ACTIONS.get(said);
  const action = known ?? Action.DENY;
  const found = new Set<string>();
  const translated = list(rules).flatMap((rule) => {
    const notes = new Set<string>();
    const read = ruleOf(record(rule), { namespace, notes });
    for (const note of notes) found.add(note);
    return notes.size > 0 && action !== Action.DENY ? [] : [read];
  });
  const limits: string[] = [];
  if (known === undefined)
    limits.push(`Action ${String(said)} is not supported: what its rules match is denied`);
  if (found.size > 0) {
    const done =
      action === Action.DENY ? 'Such rules are enforced without it' : 'Such rules never match';
    limits.push(`Not supported: ${[...found].toSorted().join(', ')}. ${done}`);
  }
  return {
    action,
    rules: translated,
    limitation: limits.length === 0 ? undefined : limits.join('; '),
  };
}

interface Context {
  /** The policy's: service accounts without one are in it. */
  readonly namespace: string;
  /** What of the rule can't be decided or read. */
  readonly notes: Set<string>;
}

function ruleOf(rule: Written, context: Context): PolicyRule {
  noteOthers(rule, ['from', 'to', 'when'], context);
  return create(PolicyRuleSchema, {
    from: list(rule['from']).map((one) => sourceOf(record(record(one)['source']), context)),
    to: list(rule['to']).map((one) => operationOf(record(record(one)['operation']), context)),
    when: list(rule['when']).flatMap((one) => conditionOf(record(one), context)),
  });
}

function sourceOf(written: Written, context: Context): Source {
  noteEmpty(written, 'source', context);
  const { each, known } = reader(written, context);
  const account = accountMatch(context.namespace);
  const source = create(SourceSchema, {
    principals: each('principals', textMatch),
    notPrincipals: each('notPrincipals', textMatch),
    namespaces: each('namespaces', textMatch),
    notNamespaces: each('notNamespaces', textMatch),
    serviceAccounts: each('serviceAccounts', account),
    notServiceAccounts: each('notServiceAccounts', account),
    ipBlocks: each('ipBlocks', block),
    notIpBlocks: each('notIpBlocks', block),
    remoteIpBlocks: each('remoteIpBlocks', block),
    notRemoteIpBlocks: each('notRemoteIpBlocks', block),
  });
  noteOthers(written, known, context);
  return source;
}

function operationOf(written: Written, context: Context): Operation {
  noteEmpty(written, 'operation', context);
  const { each, known } = reader(written, context);
  const operation = create(OperationSchema, {
    hosts: each('hosts', textMatch),
    notHosts: each('notHosts', textMatch),
    ports: each('ports', portNumber),
    notPorts: each('notPorts', portNumber),
    methods: each('methods', textMatch),
    notMethods: each('notMethods', textMatch),
    paths: each('paths', pathMatch),
    notPaths: each('notPaths', pathMatch),
  });
  noteOthers(written, known, context);
  return operation;
}

const HEADER_KEY = /^request\.headers\[[!#$%&'*+\-.^_`|~0-9A-Za-z]+\]$/;

/** How the values of a `when` are read; undefined: waypoints don't know what the key asks for. */
function conditionReader(key: string, namespace: string): ReadValue<TextMatch> | undefined {
  if (HEADER_KEY.test(key)) return textMatch;
  switch (key) {
    case 'source.namespace':
    case 'source.principal':
      return textMatch;
    case 'source.serviceAccount':
      return accountMatch(namespace);
    case 'source.ip':
    case 'remote.ip':
    case 'destination.ip':
      return blockMatch;
    case 'destination.port':
      return portMatch;
    default:
      return undefined;
  }
}

/** Nothing when it can't be decided: then the other conditions decide. */
function conditionOf(written: Written, context: Context): readonly Condition[] {
  const key = String(written['key']);
  const read = conditionReader(key, context.namespace);
  if (read === undefined) {
    context.notes.add(key);
    return [];
  }
  const values = valuesOf(written, 'values', read, context);
  const notValues = valuesOf(written, 'notValues', read, context);
  if (isBlank(written['values']) && isBlank(written['notValues'])) {
    context.notes.add(`${key} without values`);
  }
  return [create(ConditionSchema, { key, values, notValues })];
}

/** Reads one field after another; `known` are those that it has been asked for. */
function reader(
  written: Written,
  context: Context,
): {
  readonly each: <T>(name: string, read: ReadValue<T>) => T[];
  readonly known: readonly string[];
} {
  const known: string[] = [];
  return {
    known,
    each: (name, read) => {
      known.push(name);
      return valuesOf(written, name, read, context);
    },
  };
}

/** All values, or none when one of them can't be read: then all of them count as met. */
function valuesOf<T>(written: Written, name: string, read: ReadValue<T>, context: Context): T[] {
  const values = written[name];
  if (isBlank(values)) return [];
  const items: T[] = [];
  for (const value of Array.isArray(values) ? (values as readonly unknown[]) : [values]) {
    const item = typeof value === 'string' ? read(value) : undefined;
    if (item === undefined) {
      context.notes.add(`${name} ${JSON.stringify(value)}`);
      return [];
    }
    items.push(item);
  }
  return items;
}

/** A field that this code has never heard of is a condition that it can't decide. */
function noteOthers(written: Written, known: readonly string[], { notes }: Context): void {
  for (const [name, value] of Object.entries(written)) {
    if (!known.includes(name) && !isBlank(value)) notes.add(name);
  }
}

/** Somebody has begun to say whom it is about, and has not: nobody is let in for that. */
function noteEmpty(written: Written, what: string, { notes }: Context): void {
  if (Object.values(written).every(isBlank)) notes.add(`an empty ${what}`);
}
