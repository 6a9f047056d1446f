import { create } from '@bufbuild/protobuf';

import {
  Action,
  type Authorization,
  AuthorizationSchema,
  type Match,
  MatchSchema,
  type Rule,
  RuleSchema,
  Scope,
} from '#api/gen/authorization_pb.ts';

import { type Labels, selects } from '../krt/filter.ts';
import type { MeshSettings } from '../model/mesh.ts';
import { objectKey, olderFirst } from '../model/metadata.ts';
import type { PeerAuthenticationRecord } from '../model/policy.ts';
import { stringMatch } from './authorization-attribute.ts';

const STATIC_STRICT = 'istio_converted_static_strict';

/** The policy that all workloads refer to which take no plain text on any port. */
export function staticStrictPolicy(mesh: MeshSettings): Authorization {
  return denial(mesh.rootNamespace, STATIC_STRICT, [ruleOf([plaintext()])]);
}

/**
 * The names of the policies that make a workload refuse plain text where it should.
 * `records`: those of the mesh, of its namespace, and those that may select it.
 */
export function mtlsPolicies(
  workload: { readonly namespace: string; readonly labels: Labels },
  records: readonly PeerAuthenticationRecord[],
  mesh: MeshSettings,
): readonly string[] {
  const own = oldest(
    records.filter(
      ({ namespace, selector }) =>
        selector !== undefined &&
        // Selectors in the root namespace don't reach into others, and are not for workloads there.
        namespace !== mesh.rootNamespace &&
        namespace === workload.namespace &&
        selects(selector, workload.labels),
    ),
  );
  const parents = strictAbove(workload.namespace, records, mesh);
  const plan = own === undefined ? { kind: parents ? 'strict' : 'open' } : planOf(own, parents);
  switch (plan.kind) {
    case 'open':
      return [];
    case 'strict':
      return [`${mesh.rootNamespace}/${STATIC_STRICT}`];
    default:
      return own === undefined ? [] : [objectKey(convertedId(own))];
  }
}

/** The policy of a workload-level PeerAuthentication whose ports differ; undefined when none do. */
export function portPolicy(
  record: PeerAuthenticationRecord,
  records: readonly PeerAuthenticationRecord[],
  mesh: MeshSettings,
): Authorization | undefined {
  if (record.selector === undefined || record.namespace === mesh.rootNamespace) return undefined;
  const plan = planOf(record, strictAbove(record.namespace, records, mesh));
  const { namespace, name } = convertedId(record);
  switch (plan.kind) {
    case 'open':
    case 'strict':
      return undefined;
    case 'strict-but': {
      const exceptions = plan.ports.map((port) => match({ notDestinationPorts: [port] }));
      return denial(namespace, name, [ruleOf([plaintext(), ...exceptions])]);
    }
    case 'open-but': {
      const rules = plan.ports.map((port) => {
        const { notPrincipals } = plaintext();
        return ruleOf([match({ notPrincipals, destinationPorts: [port] })]);
      });
      return denial(namespace, name, rules);
    }
  }
}

type Plan =
  | { readonly kind: 'strict' | 'open' }
  /** Ports, in order, for which the opposite holds. */
  | { readonly kind: 'strict-but' | 'open-but'; readonly ports: readonly number[] };

function planOf(record: PeerAuthenticationRecord, strictParent: boolean): Plan {
  const strict = record.mode === 'UNSET' ? strictParent : record.mode === 'STRICT';
  const ports = [...record.ports]
    .filter(([, mode]) => mode !== 'UNSET' && (mode === 'STRICT') !== strict)
    .map(([port]) => port)
    .toSorted((one, other) => one - other);
  if (ports.length === 0) return { kind: strict ? 'strict' : 'open' };
  return { kind: strict ? 'strict-but' : 'open-but', ports };
}

/** What holds for a namespace when its workloads say nothing: its own word, or else the mesh's. */
function strictAbove(
  namespace: string,
  records: readonly PeerAuthenticationRecord[],
  mesh: MeshSettings,
): boolean {
  const modeOf = (where: string) =>
    oldest(records.filter((record) => record.selector === undefined && record.namespace === where))
      ?.mode;
  const own = namespace === mesh.rootNamespace ? undefined : modeOf(namespace);
  const said = own === undefined || own === 'UNSET' ? modeOf(mesh.rootNamespace) : own;
  return said === 'STRICT';
}

function oldest(
  records: readonly PeerAuthenticationRecord[],
): PeerAuthenticationRecord | undefined {
  return records.toSorted(olderFirst)[0];
}

function convertedId({ namespace, name }: PeerAuthenticationRecord) {
  return { namespace, name: `converted_peer_authentication_${name}` };
}

/** A peer without an identity: it came in plain text. */
function plaintext(): Match {
  const anybody = stringMatch('*');
  return match({ notPrincipals: anybody === undefined ? [] : [anybody] });
}

function match(
  fields: Partial<Pick<Match, 'notPrincipals' | 'destinationPorts' | 'notDestinationPorts'>>,
): Match {
  return create(MatchSchema, fields);
}

/** All of these hold. */
function ruleOf(matches: readonly Match[]): Rule {
  return create(RuleSchema, { clauses: matches.map((one) => ({ matches: [one] })) });
}

function denial(namespace: string, name: string, rules: readonly Rule[]): Authorization {
  return create(AuthorizationSchema, {
    namespace,
    name,
    scope: Scope.WORKLOAD_SELECTOR,
    action: Action.DENY,
    rules: [...rules],
  });
}
