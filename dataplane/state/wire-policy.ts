import {
  Action,
  type Authorization,
  Scope,
  type ServiceAccountMatch as WireAccount,
  type Address as WireBlock,
  type Match as WireMatch,
  type StringMatch as WireString,
} from '#api/gen/authorization_pb.ts';
import { type Cidr, cidrFromBytes } from '#common/net/cidr.ts';

import type { Match, Policy, ServiceAccountMatch, StringMatch } from './authorization.ts';
import { type WireProblems, wireEnum, wireName, wirePort } from './wire-values.ts';

const SCOPES: ReadonlyMap<number, Policy['scope']> = new Map([
  [Scope.GLOBAL, 'Global'],
  [Scope.NAMESPACE, 'Namespace'],
  [Scope.WORKLOAD_SELECTOR, 'WorkloadSelector'],
]);
const ACTIONS: ReadonlyMap<number, Policy['action']> = new Map([
  [Action.ALLOW, 'Allow'],
  [Action.DENY, 'Deny'],
]);

/**
 * Reads a policy as the control plane sends it. A condition that can't be read is a problem of the whole
 * policy: without it, an ALLOW would let in more and a DENY could deny everything.
 */
export function policyFromWire(wire: Authorization, problems: WireProblems): Policy {
  return {
    name: wireName('name', wire.name, problems),
    namespace: wireName('namespace', wire.namespace, problems),
    scope: wireEnum('scope', wire.scope, SCOPES, problems) ?? 'Global',
    action: wireEnum('action', wire.action, ACTIONS, problems) ?? 'Deny',
    dryRun: wire.dryRun,
    rules: wire.rules.map(({ clauses }) =>
      clauses.map(({ matches }) => matches.map((match) => matchFromWire(match, problems))),
    ),
  };
}

function matchFromWire(wire: WireMatch, problems: WireProblems): Match {
  const texts = (list: readonly WireString[]) => list.flatMap((one) => textOf(one, problems));
  const blocks = (list: readonly WireBlock[]) => list.flatMap((one) => blockOf(one, problems));
  const ports = (list: readonly number[]) => list.map((one) => wirePort('port', one, problems));
  for (const { name } of wire.extensions)
    problems.add(`extension ${JSON.stringify(name)} of a match is not known`);
  const accounts = (list: readonly WireAccount[]) => list.map((one) => accountOf(one, problems));
  return {
    namespaces: texts(wire.namespaces),
    notNamespaces: texts(wire.notNamespaces),
    principals: texts(wire.principals),
    notPrincipals: texts(wire.notPrincipals),
    serviceAccounts: accounts(wire.serviceAccounts),
    notServiceAccounts: accounts(wire.notServiceAccounts),
    sourceIps: blocks(wire.sourceIps),
    notSourceIps: blocks(wire.notSourceIps),
    destinationIps: blocks(wire.destinationIps),
    notDestinationIps: blocks(wire.notDestinationIps),
    destinationPorts: ports(wire.destinationPorts),
    notDestinationPorts: ports(wire.notDestinationPorts),
  };
}

function textOf({ matchType }: WireString, problems: WireProblems): readonly StringMatch[] {
  switch (matchType.case) {
    case 'presence':
      return [{ kind: 'presence' }];
    case 'exact':
    case 'prefix':
    case 'suffix':
      if (matchType.value !== '') return [{ kind: matchType.case, value: matchType.value }];
      problems.add(`a string match is "${matchType.case}" of nothing`);
      return [];
    case undefined:
      problems.add('a string match is of an unknown kind');
      return [];
  }
}

function blockOf({ address, length }: WireBlock, problems: WireProblems): readonly Cidr[] {
  const block = cidrFromBytes(address, length);
  if (block === undefined)
    problems.add(`a block of addresses has ${address.length} bytes and the length ${length}`);
  return block === undefined ? [] : [block];
}

function accountOf(wire: WireAccount, problems: WireProblems): ServiceAccountMatch {
  return {
    namespace: wireName('namespace of a service account', wire.namespace, problems),
    serviceAccount: wireName('a service account', wire.serviceAccount, problems),
  };
}
