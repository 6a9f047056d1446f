import { type IpAddress, parseIp } from '#common/net/address.ts';
import { type Cidr, cidrContains, ipToWords } from '#common/net/cidr.ts';
import { type Identity, identityParts, principalOf } from '#common/tls/spiffe.ts';
import { textMatches } from '#dataplane/authz/match.ts';
import type { StringMatch } from '#dataplane/state/authorization.ts';

import type { RequestHead } from '../request/head.ts';
import { pathOf } from '../routing/match.ts';
import type {
  Pair,
  PathCondition,
  Policy,
  PolicyCondition,
  PolicyOperation,
  PolicyRule,
  PolicySource,
} from './model.ts';
import { templateMatches } from './path-template.ts';

/** What a policy may look at. Identity and address come from the tunnel, never from headers. */
export interface RequestFacts {
  readonly identity: Identity;
  readonly sourceIp: IpAddress;
  readonly destinationIp: IpAddress;
  readonly destinationPort: number;
  /** Undefined: bytes that nobody looks into. */
  readonly head: RequestHead | undefined;
}

/** What a policy that is only tried out, or that audits, has to say. */
export interface PolicyNotice {
  readonly policy: string;
  readonly effect: 'audit' | 'would-deny' | 'would-allow';
}

export type PolicyVerdict = { readonly notices: readonly PolicyNotice[] } & (
  | {
      readonly kind: 'allow';
      readonly policy: string | undefined;
      readonly rule: number | undefined;
    }
  | {
      readonly kind: 'deny';
      /** Undefined: there are ALLOW policies, and none of them matches. */
      readonly policy: string | undefined;
      readonly rule: number | undefined;
      readonly reason: string;
    }
);

/**
 * Judges a request, or a connection, by the policies that concern what it is for: a DENY that matches denies; without ALLOW policies it is let in; otherwise one of
 * them must match.
 */
export function evaluate(policies: readonly Policy[], facts: RequestFacts): PolicyVerdict {
  const notices: PolicyNotice[] = [];
  let allowed: { readonly policy: string; readonly rule: number } | undefined;
  let denied: { readonly policy: string; readonly rule: number } | undefined;
  let wantsAllow = false;
  for (const policy of policies) {
    if (policy.action === 'allow' && !policy.dryRun) wantsAllow = true;
    const rule = policy.rules.findIndex((one) => ruleHolds(one, facts, policy.action));
    if (rule === -1) continue;
    const { key, action } = policy;
    if (action === 'audit') notices.push({ policy: key, effect: 'audit' });
    else if (policy.dryRun) notices.push({ policy: key, effect: `would-${action}` });
    else if (action === 'deny') denied ??= { policy: key, rule };
    else allowed ??= { policy: key, rule };
  }
  if (denied !== undefined) {
    const reason = `explicitly denied by: ${denied.policy}, rule ${denied.rule}`;
    return { kind: 'deny', ...denied, reason, notices };
  }
  if (allowed !== undefined) return { kind: 'allow', ...allowed, notices };
  if (!wantsAllow) return { kind: 'allow', policy: undefined, rule: undefined, notices };
  const reason = 'allow policies exist, but none allowed';
  return { kind: 'deny', policy: undefined, rule: undefined, reason, notices };
}

function ruleHolds(rule: PolicyRule, facts: RequestFacts, action: Policy['action']): boolean {
  return (
    (rule.from.length === 0 || rule.from.some((source) => sourceHolds(source, facts))) &&
    (rule.to.length === 0 ||
      rule.to.some((operation) => operationHolds(operation, facts, action))) &&
    rule.when.every((condition) => conditionHolds(condition, facts, action))
  );
}

/** What nobody asks about is not worked out: this runs for every request. */
function sourceHolds(source: PolicySource, { identity, sourceIp, head }: RequestFacts): boolean {
  const { principals, namespaces, serviceAccounts, ipBlocks, remoteIpBlocks } = source;
  return (
    (!isSet(principals) || textsHold(principals, principalOf(identity))) &&
    (!isSet(namespaces) || textsHold(namespaces, identityParts(identity).namespace)) &&
    (!isSet(serviceAccounts) || textsHold(serviceAccounts, accountOf(identity))) &&
    blocksHold(ipBlocks, sourceIp) &&
    (!isSet(remoteIpBlocks) || blocksHold(remoteIpBlocks, remoteIpOf(sourceIp, head)))
  );
}

function accountOf(identity: Identity): string {
  const { namespace, serviceAccount } = identityParts(identity);
  return `${namespace}/${serviceAccount}`;
}

/** A DENY that can't look at what it names denies all the same; an ALLOW lets nothing in. */
function operationHolds(
  operation: PolicyOperation,
  { head, destinationPort }: RequestFacts,
  action: Policy['action'],
): boolean {
  const { hosts, ports, methods, paths } = operation;
  if (!pairHolds(ports, (port) => port === destinationPort)) return false;
  if (head === undefined) {
    const looksInside = [hosts, methods, paths].some(isSet);
    return !looksInside || action === 'deny';
  }
  return (
    (!isSet(methods) || methodsHold(methods, head.method, action)) &&
    (!isSet(hosts) || hostsHold(hosts, head.authority)) &&
    (!isSet(paths) || pathsHold(paths, pathOf(head.path)))
  );
}

/** Methods have a case (RFC 9110 section 9.1), but not for every application: none gets around a DENY by it. */
function methodsHold(
  methods: Pair<StringMatch>,
  method: string,
  action: Policy['action'],
): boolean {
  return (
    textsHold(methods, method) || (action === 'deny' && textsHold(methods, method.toUpperCase()))
  );
}

/** A policy may name a host with its port, or without. */
function hostsHold(hosts: Pair<StringMatch>, authority: string): boolean {
  const asked = authority.toLowerCase();
  const host = hostOf(asked);
  return pairHolds(hosts, (one) => textMatches(one, host) || textMatches(one, asked));
}

function pathsHold(paths: Pair<PathCondition>, path: string): boolean {
  return pairHolds(paths, (one) => pathMatches(one, path));
}

function pathMatches(condition: PathCondition, path: string): boolean {
  return condition.kind === 'template'
    ? templateMatches(condition.value, path)
    : textMatches(condition, path);
}

function conditionHolds(
  condition: PolicyCondition,
  facts: RequestFacts,
  action: Policy['action'],
): boolean {
  const { key } = condition;
  if ('blocks' in condition) {
    const { sourceIp, destinationIp, head } = facts;
    if (key.kind === 'destination.ip') return blocksHold(condition.blocks, destinationIp);
    const ip = key.kind === 'remote.ip' ? remoteIpOf(sourceIp, head) : sourceIp;
    return blocksHold(condition.blocks, ip);
  }
  const { texts } = condition;
  switch (key.kind) {
    case 'source.namespace':
      return textsHold(texts, identityParts(facts.identity).namespace);
    case 'source.principal':
      return textsHold(texts, principalOf(facts.identity));
    case 'source.serviceAccount':
      return textsHold(texts, accountOf(facts.identity));
    case 'destination.port':
      return textsHold(texts, String(facts.destinationPort));
    case 'header':
      return facts.head === undefined
        ? action === 'deny'
        : headerHolds(texts, linesOf(facts.head, key.name), action);
    case 'source.ip':
    case 'remote.ip':
    case 'destination.ip':
      return false;
  }
}

/**
 * Host is where the request goes, whatever the protocol calls it. What a client says of its own certificate is believed
 * by nobody, and goes no further.
 */
function linesOf(head: RequestHead, name: string): readonly string[] {
  if (name === 'x-forwarded-client-cert') return [];
  return name === 'host' ? [head.authority] : head.headerLines(name);
}

/**
 * Applications read several lines each for itself, or as one value. What a DENY names, or an ALLOW excludes, is found
 * in either; what an ALLOW wants, or a DENY excludes, is all of them.
 */
function headerHolds(
  { any, none }: Pair<StringMatch>,
  lines: readonly string[],
  action: Policy['action'],
): boolean {
  const whole = lines.length > 1 ? JOINTS.map((joint) => lines.join(joint)) : lines;
  const parts = lines.length > 1 ? [...lines, ...whole] : lines;
  const isIn = (values: readonly string[], condition: StringMatch): boolean =>
    condition.kind === 'presence'
      ? lines.length > 0
      : values.some((value) => textMatches(condition, value));
  const [wanted, excluded] = action === 'allow' ? [whole, parts] : [parts, whole];
  return (
    (any.length === 0 || any.some((condition) => isIn(wanted, condition))) &&
    !none.some((condition) => isIn(excluded, condition))
  );
}

/** How lines become one value: of lists with or without a blank, and of cookies (RFC 9113 section 8.2.3). */
const JOINTS = [',', ', ', '; '] as const;

function textsHold(pair: Pair<StringMatch>, text: string): boolean {
  return pairHolds(pair, (condition) => textMatches(condition, text));
}

function blocksHold(pair: Pair<Cidr>, ip: IpAddress): boolean {
  if (!isSet(pair)) return true;
  const words = ipToWords(ip);
  return pairHolds(pair, (block) => cidrContains(block, words));
}

function pairHolds<Condition>(
  { any, none }: Pair<Condition>,
  holds: (condition: Condition) => boolean,
): boolean {
  return (any.length === 0 || any.some(holds)) && !none.some(holds);
}

function isSet({ any, none }: Pair<unknown>): boolean {
  return any.length + none.length > 0;
}

/** The last hop that X-Forwarded-For names is the one that the peer of the tunnel has seen itself; nobody is trusted beyond it. */
function remoteIpOf(sourceIp: IpAddress, head: RequestHead | undefined): IpAddress {
  const last = head?.header('x-forwarded-for')?.split(',').at(-1)?.trim() ?? '';
  return parseIp(last) ?? sourceIp;
}

/** Without port, and without the dot that says that a name is complete. */
function hostOf(authority: string): string {
  return authority.replace(/\.?(?::[0-9]*)?$/, '');
}
