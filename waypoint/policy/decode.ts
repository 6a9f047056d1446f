import { fromBinary } from '@bufbuild/protobuf';

import {
  Action,
  PolicySchema,
  type Condition as WireCondition,
  type Operation as WireOperation,
  type PolicyPath as WirePath,
  type Policy as WirePolicy,
  type Source as WireSource,
  type TextMatch as WireText,
} from '#api/gen/waypoint_pb.ts';
import { type Cidr, parseCidr } from '#common/net/cidr.ts';
import type { StringMatch } from '#dataplane/state/authorization.ts';

import { comparablePath } from '../request/normalize.ts';
import type {
  ConditionKey,
  Pair,
  PathCondition,
  Policy,
  PolicyCondition,
  PolicyOperation,
  PolicySource,
} from './model.ts';
import { parsePathTemplate } from './path-template.ts';

export type DecodedPolicy =
  | { readonly kind: 'policy'; readonly policy: Policy }
  | {
      readonly kind: 'refused';
      /** For whoever runs the control plane. */
      readonly reason: string;
      /** Denies what the policy is for, while there is none that can be enforced. Undefined: it would only have told. */
      readonly instead: Policy | undefined;
    };

const ACTIONS: ReadonlyMap<number, Policy['action']> = new Map([
  [Action.ALLOW, 'allow'],
  [Action.DENY, 'deny'],
  [Action.AUDIT, 'audit'],
]);
/** Enough to see what is wrong. */
const PROBLEMS_MAX = 5;

/**
 * Reads an `ambit.waypoint.Policy`. `name`: what the resource is called on the wire. What can't be judged as it is said
 * refuses the policy as a whole: without a condition an ALLOW would let in more, and a DENY keep out less.
 */
export function decodePolicy(name: string, bytes: Uint8Array): DecodedPolicy {
  let wire: WirePolicy;
  try {
    wire = fromBinary(PolicySchema, bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const reason = `not an ambit.waypoint.Policy: ${why}`;
    return { kind: 'refused', reason, instead: denyAll(name, []) };
  }
  const problems: string[] = [];
  const key = `${wire.namespace}/${wire.name}`;
  if (key !== name) problems.push(`its name is ${JSON.stringify(key)}`);
  const action = ACTIONS.get(wire.action);
  if (action === undefined) problems.push(`action ${wire.action} is not known`);
  const policy: Policy = {
    key,
    action: action ?? 'deny',
    dryRun: wire.dryRun,
    services: wire.services.map(({ namespace, hostname }) => ({ namespace, hostname })),
    rules: wire.rules.map((rule) => ({
      from: rule.from.map((source) => sourceOf(source, problems)),
      to: rule.to.map((operation) => operationOf(operation, problems)),
      when: rule.when.flatMap((condition) => conditionOf(condition, problems)),
    })),
  };
  if (problems.length === 0) return { kind: 'policy', policy };
  const reason = problems.slice(0, PROBLEMS_MAX).join(', ');
  const onlyTells = action === 'audit' || wire.dryRun;
  return {
    kind: 'refused',
    reason,
    instead: onlyTells ? undefined : denyAll(name, policy.services),
  };
}

function denyAll(key: string, services: Policy['services']): Policy {
  const rules = [{ from: [], to: [], when: [] }];
  return { key, action: 'deny', dryRun: false, services, rules };
}

function sourceOf(wire: WireSource, problems: string[]): PolicySource {
  return {
    principals: textPair(wire.principals, wire.notPrincipals, problems),
    namespaces: textPair(wire.namespaces, wire.notNamespaces, problems),
    serviceAccounts: textPair(wire.serviceAccounts, wire.notServiceAccounts, problems),
    ipBlocks: blockPair(wire.ipBlocks, wire.notIpBlocks, problems),
    remoteIpBlocks: blockPair(wire.remoteIpBlocks, wire.notRemoteIpBlocks, problems),
  };
}

function operationOf(wire: WireOperation, problems: string[]): PolicyOperation {
  const paths = (given: readonly WirePath[]): PathCondition[] =>
    given.flatMap((path) => pathOf(path, problems));
  const hosts = (given: readonly WireText[]): StringMatch[] =>
    given.flatMap((text) => written(textOf(text, problems), (host) => host.toLowerCase()));
  return {
    hosts: { any: hosts(wire.hosts), none: hosts(wire.notHosts) },
    ports: { any: wire.ports, none: wire.notPorts },
    methods: textPair(wire.methods, wire.notMethods, problems),
    paths: { any: paths(wire.paths), none: paths(wire.notPaths) },
  };
}

const TEXT_KEYS = new Set([
  'source.namespace',
  'source.principal',
  'source.serviceAccount',
  'destination.port',
]);
const BLOCK_KEYS = new Set(['source.ip', 'remote.ip', 'destination.ip']);
const HEADER_KEY = /^request\.headers\[([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\]$/;

function conditionOf(
  { key, values, notValues }: WireCondition,
  problems: string[],
): readonly PolicyCondition[] {
  const header = HEADER_KEY.exec(key)?.[1];
  if (header !== undefined) {
    const texts = textPair(values, notValues, problems);
    return [{ key: { kind: 'header', name: header.toLowerCase() }, texts }];
  }
  if (TEXT_KEYS.has(key)) {
    return [{ key: { kind: key } as ConditionKey, texts: textPair(values, notValues, problems) }];
  }
  if (BLOCK_KEYS.has(key)) {
    const blocks = blockPair(textsOf(values), textsOf(notValues), problems);
    return [{ key: { kind: key } as ConditionKey, blocks }];
  }
  problems.push(`condition ${JSON.stringify(key)} is not served`);
  return [];
}

function textPair(
  any: readonly WireText[],
  none: readonly WireText[],
  problems: string[],
): Pair<StringMatch> {
  return {
    any: any.flatMap((text) => textOf(text, problems)),
    none: none.flatMap((text) => textOf(text, problems)),
  };
}

function textOf({ kind }: WireText, problems: string[]): readonly StringMatch[] {
  switch (kind.case) {
    case 'presence':
      return [{ kind: 'presence' }];
    case 'exact':
    case 'prefix':
    case 'suffix':
      if (kind.value !== '') return [{ kind: kind.case, value: kind.value }];
      problems.push(`a text is "${kind.case}" of nothing`);
      return [];
    case undefined:
      problems.push('a text is of an unknown kind');
      return [];
  }
}

/** The same conditions, spelled as what they are compared with. */
function written(
  texts: readonly StringMatch[],
  spell: (value: string) => string,
): readonly StringMatch[] {
  return texts.map((text) =>
    text.kind === 'presence' ? text : { ...text, value: spell(text.value) },
  );
}

function pathOf({ kind }: WirePath, problems: string[]): readonly PathCondition[] {
  if (kind.case === 'text') {
    return written(textOf(kind.value, problems), comparablePath);
  }
  const template = kind.case === 'template' ? parsePathTemplate(kind.value) : undefined;
  if (template !== undefined) return [{ kind: 'template', value: template }];
  problems.push(`${JSON.stringify(kind.value ?? '')} is no path template`);
  return [];
}

/** Blocks of addresses come as texts; anything but a whole one is none. */
function textsOf(given: readonly WireText[]): string[] {
  return given.map(({ kind }) => (kind.case === 'exact' ? kind.value : ''));
}

function blockPair(
  any: readonly string[],
  none: readonly string[],
  problems: string[],
): Pair<Cidr> {
  const blocks = (given: readonly string[]): Cidr[] =>
    given.flatMap((text) => {
      const block = parseCidr(text);
      if (block === undefined) problems.push(`${JSON.stringify(text)} is no block of addresses`);
      return block === undefined ? [] : [block];
    });
  return { any: blocks(any), none: blocks(none) };
}
