import type { IpAddress } from '#common/net/address.ts';
import { type Cidr, cidrContains, type IpWords, ipToWords } from '#common/net/cidr.ts';
import { type Identity, identityParts, principalOf } from '#common/tls/spiffe.ts';
import type {
  Match,
  Policy,
  ServiceAccountMatch,
  StringMatch,
} from '#dataplane/state/authorization.ts';

/** What a policy may look at. All of it comes from sockets and verified certificates, nothing from headers. */
export interface ConnectionFacts {
  /** The peer of the TCP connection: the client pod, or the waypoint or gateway that speaks for it. */
  readonly sourceIp: IpAddress;
  /** The pod that the connection was accepted for. */
  readonly destinationIp: IpAddress;
  /** The application's port, never the tunnel's. */
  readonly destinationPort: number;
  /** From the peer's certificate; undefined for a plaintext connection. */
  readonly identity: Identity | undefined;
}

/** The facts in the forms that conditions compare, made once for all policies; those that may not be needed on demand. */
export class Subject {
  readonly destinationPort: number;
  /** Without the scheme. Undefined, not empty, when there is no identity: no condition on it can hold then. */
  readonly principal: string | undefined;
  /** Empty when there is no identity. */
  readonly namespace: string;
  readonly serviceAccount: string | undefined;
  readonly #facts: ConnectionFacts;
  #sourceWords: IpWords | undefined;
  #destinationWords: IpWords | undefined;

  constructor(facts: ConnectionFacts) {
    const parts = facts.identity === undefined ? undefined : identityParts(facts.identity);
    this.destinationPort = facts.destinationPort;
    this.principal = facts.identity === undefined ? undefined : principalOf(facts.identity);
    this.namespace = parts?.namespace ?? '';
    this.serviceAccount = parts?.serviceAccount;
    this.#facts = facts;
  }

  get sourceWords(): IpWords {
    this.#sourceWords ??= ipToWords(this.#facts.sourceIp);
    return this.#sourceWords;
  }

  get destinationWords(): IpWords {
    this.#destinationWords ??= ipToWords(this.#facts.destinationIp);
    return this.#destinationWords;
  }
}

/** Whether any rule of the policy holds: any rule, all of its clauses, any match of each. */
export function policyMatches(policy: Policy, subject: Subject): boolean {
  return policy.rules.some((rule) =>
    rule.every(
      (clause) => clause.length === 0 || clause.some((match) => matchHolds(match, subject)),
    ),
  );
}

/** Whether all six pairs of conditions hold. A match without any condition never holds. */
export function matchHolds(match: Match, subject: Subject): boolean {
  return (
    hasCondition(match) &&
    pairHolds(match.destinationPorts, match.notDestinationPorts, subject, portIs) &&
    pairHolds(match.principals, match.notPrincipals, subject, principalIs) &&
    pairHolds(match.namespaces, match.notNamespaces, subject, namespaceIs) &&
    pairHolds(match.serviceAccounts, match.notServiceAccounts, subject, serviceAccountIs) &&
    pairHolds(match.sourceIps, match.notSourceIps, subject, sourceIsIn) &&
    pairHolds(match.destinationIps, match.notDestinationIps, subject, destinationIsIn)
  );
}

/** Whether a text meets one condition. */
export function textMatches(condition: StringMatch, text: string): boolean {
  switch (condition.kind) {
    case 'exact':
      return text === condition.value;
    case 'prefix':
      return text.startsWith(condition.value);
    case 'suffix':
      return text.endsWith(condition.value);
    case 'presence':
      return text !== '';
  }
}

function pairHolds<Condition>(
  positives: readonly Condition[],
  negatives: readonly Condition[],
  subject: Subject,
  hits: (condition: Condition, subject: Subject) => boolean,
): boolean {
  if (positives.length > 0 && !anyHits(positives, subject, hits)) return false;
  return negatives.length === 0 || !anyHits(negatives, subject, hits);
}

function anyHits<Condition>(
  conditions: readonly Condition[],
  subject: Subject,
  hits: (condition: Condition, subject: Subject) => boolean,
): boolean {
  for (const condition of conditions) if (hits(condition, subject)) return true;
  return false;
}

function hasCondition(match: Match): boolean {
  return (
    match.principals.length > 0 ||
    match.notPrincipals.length > 0 ||
    match.destinationPorts.length > 0 ||
    match.notDestinationPorts.length > 0 ||
    match.namespaces.length > 0 ||
    match.notNamespaces.length > 0 ||
    match.serviceAccounts.length > 0 ||
    match.notServiceAccounts.length > 0 ||
    match.sourceIps.length > 0 ||
    match.notSourceIps.length > 0 ||
    match.destinationIps.length > 0 ||
    match.notDestinationIps.length > 0
  );
}

function portIs(port: number, subject: Subject): boolean {
  return port === subject.destinationPort;
}

function principalIs(condition: StringMatch, subject: Subject): boolean {
  return subject.principal !== undefined && textMatches(condition, subject.principal);
}

function namespaceIs(condition: StringMatch, subject: Subject): boolean {
  return textMatches(condition, subject.namespace);
}

function serviceAccountIs(condition: ServiceAccountMatch, subject: Subject): boolean {
  return (
    condition.serviceAccount === subject.serviceAccount && condition.namespace === subject.namespace
  );
}

function sourceIsIn(block: Cidr, subject: Subject): boolean {
  return cidrContains(block, subject.sourceWords);
}

function destinationIsIn(block: Cidr, subject: Subject): boolean {
  return cidrContains(block, subject.destinationWords);
}
