import {
  type Match,
  type Policy,
  type ServiceAccountMatch,
  type StringMatch,
} from './authorization.ts';
import { readCidr, readList, readName, readPort } from './config-types.ts';
import { type ConfigValue, unknownName } from './config-value.ts';

const POLICY_FIELDS = ['name', 'namespace', 'scope', 'action', 'dryRun', 'rules'];

const MATCH_FIELDS = [
  'namespaces',
  'notNamespaces',
  'principals',
  'notPrincipals',
  'serviceAccounts',
  'notServiceAccounts',
  'sourceIps',
  'notSourceIps',
  'destinationIps',
  'notDestinationIps',
  'destinationPorts',
  'notDestinationPorts',
];

/**
 * Reads a policy. Whatever it says that can't be judged from a connection alone is a problem: to leave
 * a condition out would make an ALLOW wider, and to leave a rule out would make a DENY weaker.
 */
export function readPolicy(value: ConfigValue): Policy {
  const fields = value.fields(POLICY_FIELDS, (name) =>
    unknownCondition(name, unknownName('field', name, POLICY_FIELDS)),
  );
  return {
    name: fields.required('name', '', readName),
    namespace: fields.required('namespace', '', readName),
    scope: fields.required('scope', 'Global', (scope) =>
      scope.oneOf(['Global', 'Namespace', 'WorkloadSelector']),
    ),
    action: fields.required('action', 'Deny', (action) =>
      action.oneOf(['Allow', 'Deny'], `: ${NOT_AT_THIS_LAYER}`),
    ),
    dryRun: fields.optional('dryRun', false, (dryRun) => dryRun.boolean()),
    rules: fields.required('rules', [], (rules) =>
      readList(rules, (rule) => readList(rule, (clause) => readList(clause, readMatch))),
    ),
  };
}

function readMatch(value: ConfigValue): Match {
  const fields = value.fields(MATCH_FIELDS, (name) =>
    unknownCondition(name, unknownName('condition', name, MATCH_FIELDS)),
  );
  const list = <T>(name: string, read: (item: ConfigValue) => T | undefined): readonly T[] =>
    fields.optional(name, [], (conditions) => readConditions(conditions, read));
  return {
    namespaces: list('namespaces', readStringMatch),
    notNamespaces: list('notNamespaces', readStringMatch),
    principals: list('principals', readPrincipalMatch),
    notPrincipals: list('notPrincipals', readPrincipalMatch),
    serviceAccounts: list('serviceAccounts', readServiceAccount),
    notServiceAccounts: list('notServiceAccounts', readServiceAccount),
    sourceIps: list('sourceIps', readCidr),
    notSourceIps: list('notSourceIps', readCidr),
    destinationIps: list('destinationIps', readCidr),
    notDestinationIps: list('notDestinationIps', readCidr),
    destinationPorts: list('destinationPorts', readPort),
    notDestinationPorts: list('notDestinationPorts', readPort),
  };
}

/** An empty list would be no condition at all, which is hardly what its writer meant. */
function readConditions<T>(
  value: ConfigValue,
  read: (item: ConfigValue) => T | undefined,
): readonly T[] {
  const conditions = readList(value, read);
  if (value.isEmptyList()) value.problem('An empty list is no condition: leave the field out');
  return conditions;
}

/** `!Exact x`, `!Prefix x`, `!Suffix x`, `!Presence`, or as JSON `{"Exact": "x"}`, `{"Presence": []}`. */
function readStringMatch(value: ConfigValue): StringMatch | undefined {
  const tag = value.tag();
  if (tag !== undefined) {
    if (tag === '!Presence') return presence(value);
    return withText(value, tag, value.taggedText());
  }
  const [entry, ...others] = value.isMapping() ? value.entries() : [];
  if (entry === undefined || others.length > 0) {
    value.problem(`Want !Exact x, !Prefix x, !Suffix x or !Presence, got ${value.describe()}`);
    return undefined;
  }
  const [name, operand] = entry;
  if (name.asText() === 'Presence') return presence(operand);
  return withText(operand, `!${name.asText()}`, operand.text());
}

function presence(value: ConfigValue): StringMatch {
  if (!value.isNothing()) value.problem('Want nothing after !Presence');
  return { kind: 'presence' };
}

const TEXT_MATCHES = new Map<string, 'exact' | 'prefix' | 'suffix'>([
  ['!Exact', 'exact'],
  ['!Prefix', 'prefix'],
  ['!Suffix', 'suffix'],
]);

function withText(
  value: ConfigValue,
  tag: string,
  text: string | undefined,
): StringMatch | undefined {
  const kind = TEXT_MATCHES.get(tag);
  if (kind === undefined) {
    value.problem(`Unknown string match "${tag}": want !Exact, !Prefix, !Suffix or !Presence`);
    return undefined;
  }
  if (text === undefined || text === '') {
    value.problem('Want a text that is not empty: use !Presence for any text');
    return undefined;
  }
  if (text.includes('*')) {
    const wish = 'use !Prefix, !Suffix or !Presence';
    value.problem(`"${text}" is compared as it stands, "*" included: ${wish}`);
  }
  return { kind, value: text };
}

function readPrincipalMatch(value: ConfigValue): StringMatch | undefined {
  const match = readStringMatch(value);
  if (match !== undefined && match.kind !== 'presence' && match.value.includes('://')) {
    value.problem(`"${match.value}" can never match: principals are compared without "spiffe://"`);
  }
  return match;
}

function readServiceAccount(value: ConfigValue): ServiceAccountMatch {
  const fields = value.fields(['namespace', 'serviceAccount']);
  return {
    namespace: fields.required('namespace', '', readName),
    serviceAccount: fields.required('serviceAccount', '', readName),
  };
}

const NOT_AT_THIS_LAYER =
  'the node tunnel judges connections, it does not read requests. Bind the workload to a waypoint and put the policy there';

/** Words of request policies; without "not" before them, which they may also have. */
const REQUEST_WORDS = new Set([
  'methods',
  'paths',
  'hosts',
  'headers',
  'ports',
  'requestprincipals',
  'ipblocks',
  'remoteipblocks',
  'audiences',
  'presenters',
  'claims',
  'when',
  'from',
  'to',
  'source',
  'operation',
  'provider',
  'custom',
  'selector',
  'targetref',
  'targetrefs',
]);

function unknownCondition(name: string, otherwise: string): string {
  const word = name.toLowerCase().replace(/^not/, '');
  return REQUEST_WORDS.has(word)
    ? `"${name}" cannot be enforced here: ${NOT_AT_THIS_LAYER}`
    : otherwise;
}
