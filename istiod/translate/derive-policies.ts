import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import { type Labels, selecting } from '../krt/filter.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import { Singleton } from '../krt/singleton.ts';
import type { MeshSettings } from '../model/mesh.ts';
import { objectKey } from '../model/metadata.ts';
import type { AuthorizationPolicyRecord, PeerAuthenticationRecord } from '../model/policy.ts';
import { type PolicyResource, sameVersion } from '../model/resource.ts';
import { translateAuthorization } from './authorization.ts';
import { policyResource } from './encode.ts';
import { mtlsPolicies, portPolicy, staticStrictPolicy } from './peer-authentication.ts';

/** What the author of a policy should know. */
export interface PolicyVerdict {
  readonly name: string;
  /** Something of it is enforced. */
  readonly enforced: boolean;
  /** All or a part of it is not enforced as it is written. */
  readonly limitation: string | undefined;
}

export interface DerivedPolicies {
  readonly resources: Readable<PolicyResource>;
  /** One for each policy that is for node tunnels. */
  readonly verdicts: Readable<PolicyVerdict>;
  /** The names, in order, of the policies that a workload refers to. */
  readonly fetchNames: (
    fetch: Fetch,
    workload: { readonly namespace: string; readonly labels: Labels },
  ) => readonly string[];
}

interface Translated {
  readonly name: string;
  readonly namespace: string;
  readonly selector: Labels | undefined;
  readonly resource: PolicyResource | undefined;
  readonly limitation: string | undefined;
}

/** Whom a policy selects: changes less often than its rules. */
interface Attachment {
  readonly name: string;
  readonly namespace: string;
  readonly selector: Labels;
}

export function derivePolicies(
  graph: Graph,
  mesh: MeshSettings,
  inputs: {
    readonly authorizationPolicies: Readable<AuthorizationPolicyRecord>;
    readonly peerAuthentications: Readable<PeerAuthenticationRecord>;
  },
): DerivedPolicies {
  const { authorizationPolicies, peerAuthentications } = inputs;
  const translated = new DerivedCollection<AuthorizationPolicyRecord, Translated>(
    graph,
    'translated policies',
    authorizationPolicies,
    { keyOf: ({ name }) => name, transformation: (record) => translate(record, mesh) },
  );
  const fromMtls = deriveMtlsPolicies(graph, mesh, peerAuthentications);
  const resources = new JoinedCollection<PolicyResource>(graph, 'policy resources', {
    keyOf: ({ name }) => name,
    equal: sameVersion,
    parts: [
      fromMtls.staticStrict,
      new DerivedCollection<Translated, PolicyResource>(graph, 'authorization', translated, {
        keyOf: ({ name }) => name,
        equal: sameVersion,
        transformation: ({ resource }) => (resource === undefined ? [] : [resource]),
      }),
      fromMtls.ofPorts,
    ],
  });
  const verdicts = new DerivedCollection<Translated, PolicyVerdict>(
    graph,
    'policy verdicts',
    translated,
    {
      keyOf: ({ name }) => name,
      transformation: ({ name, resource, limitation }) => [
        { name, enforced: resource !== undefined, limitation },
      ],
    },
  );
  return { resources, verdicts, fetchNames: namesFetcher(graph, mesh, translated, fromMtls) };
}

function translate(record: AuthorizationPolicyRecord, mesh: MeshSettings): readonly Translated[] {
  const translation = translateAuthorization(record, mesh);
  const { namespace, selector } = record;
  const base = { name: objectKey(record), namespace, selector };
  switch (translation.kind) {
    case 'not-ours':
      return [];
    case 'refused':
      return [{ ...base, resource: undefined, limitation: translation.message }];
    case 'policy':
      return [
        {
          ...base,
          resource: policyResource(translation.policy),
          limitation: translation.limitation,
        },
      ];
  }
}

function deriveMtlsPolicies(
  graph: Graph,
  mesh: MeshSettings,
  records: Readable<PeerAuthenticationRecord>,
) {
  const byNamespace = records.indexBy('namespace', ({ namespace }) => [namespace]);
  const fetchFor = (fetch: Fetch, namespace: string, labels: Labels | undefined) => {
    const where = (record: PeerAuthenticationRecord) =>
      record.selector === undefined ||
      (labels !== undefined && selecting(labels, () => record.selector)(record));
    return [...new Set([mesh.rootNamespace, namespace])].flatMap((one) =>
      fetch.all(records, { within: byNamespace.at(one), where }),
    );
  };
  const any = new Singleton(graph, 'static strict policy', (fetch) =>
    fetch.all(records).length === 0 ? undefined : policyResource(staticStrictPolicy(mesh)),
  );
  // A singleton's only key is its own; a policy has a name.
  const staticStrict = new DerivedCollection<PolicyResource, PolicyResource>(
    graph,
    'static policies',
    any.collection,
    { keyOf: ({ name }) => name, equal: sameVersion, transformation: (policy) => [policy] },
  );
  const ofPorts = new DerivedCollection<PeerAuthenticationRecord, PolicyResource>(
    graph,
    'port policies',
    records,
    {
      keyOf: ({ name }) => name,
      equal: sameVersion,
      transformation: (record, fetch) => {
        if (record.selector === undefined) return [];
        const policy = portPolicy(record, fetchFor(fetch, record.namespace, undefined), mesh);
        return policy === undefined ? [] : [policyResource(policy)];
      },
    },
  );
  return { staticStrict, ofPorts, fetchFor };
}

function namesFetcher(
  graph: Graph,
  mesh: MeshSettings,
  translated: Readable<Translated>,
  fromMtls: ReturnType<typeof deriveMtlsPolicies>,
): DerivedPolicies['fetchNames'] {
  const attachments = new DerivedCollection<Translated, Attachment>(
    graph,
    'policy attachments',
    translated,
    {
      keyOf: ({ name }) => name,
      transformation: ({ name, namespace, selector, resource }) =>
        selector === undefined || resource === undefined ? [] : [{ name, namespace, selector }],
    },
  );
  const byNamespace = attachments.indexBy('namespace', ({ namespace }) => [namespace]);
  return (fetch, workload) => {
    const { namespace, labels } = workload;
    const where = selecting(labels, ({ selector }: Attachment) => selector);
    const attached = [...new Set([mesh.rootNamespace, namespace])].flatMap((one) =>
      fetch.all(attachments, { within: byNamespace.at(one), where }),
    );
    const mtls = mtlsPolicies(workload, fromMtls.fetchFor(fetch, namespace, labels), mesh);
    return [...attached.map(({ name }) => name), ...mtls].toSorted();
  };
}
