import type { KindRegistry, ServedKind } from './kinds.ts';

/** Subresources that are another kind than their resource: what discovery says of them. */
interface SubresourceKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

/** A resource that is only created, and answered, never kept. */
export interface ReviewKind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const CONNECT = ['create', 'get'];

const SUBRESOURCES: Readonly<Record<string, SubresourceKind>> = {
  scale: { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] },
  token: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
  eviction: { group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
  binding: { group: '', version: 'v1', kind: 'Binding', verbs: ['create'] },
  exec: { group: '', version: 'v1', kind: 'PodExecOptions', verbs: CONNECT },
  attach: { group: '', version: 'v1', kind: 'PodAttachOptions', verbs: CONNECT },
  portforward: { group: '', version: 'v1', kind: 'PodPortForwardOptions', verbs: CONNECT },
};
/** The other subresources are their resource's own kind. */
const OWN_VERBS: Readonly<Record<string, readonly string[]>> = {
  status: ['get', 'patch', 'update'],
  log: ['get'],
  finalize: ['update'],
  ephemeralcontainers: ['get', 'patch', 'update'],
};

export const reviewKinds: readonly ReviewKind[] = [
  review('authentication.k8s.io', 'TokenReview'),
  review('authentication.k8s.io', 'SelfSubjectReview'),
  review('authorization.k8s.io', 'SubjectAccessReview'),
  review('authorization.k8s.io', 'SelfSubjectAccessReview'),
  review('authorization.k8s.io', 'SelfSubjectRulesReview'),
  { ...review('authorization.k8s.io', 'LocalSubjectAccessReview'), namespaced: true },
];

/** What clients ask first: which groups, versions and resources there are. Recomputed when kinds change. */
export class Discovery {
  readonly #registry: KindRegistry;
  readonly #serverAddress: string;
  readonly #cache = new Map<string, unknown>();
  #generation = -1;

  /** @param serverAddress host and port that `/api` names */
  constructor(registry: KindRegistry, serverAddress: string) {
    this.#registry = registry;
    this.#serverAddress = serverAddress;
  }

  /** `/api` without content negotiation. */
  coreVersions(): unknown {
    return {
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: this.#serverAddress }],
    };
  }

  /** `/apis` without content negotiation. */
  groupList(): unknown {
    return this.#cached('groups', () => ({
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: this.#groups()
        .filter((group) => group !== '')
        .map((group) => this.#group(group)),
    }));
  }

  /** `/apis/GROUP`; undefined when we have no such group. */
  group(name: string): unknown {
    if (name === '' || !this.#groups().includes(name)) return undefined;
    return { kind: 'APIGroup', apiVersion: 'v1', ...this.#group(name) };
  }

  /** `/api/v1` and `/apis/GROUP/VERSION`; undefined when we have no such version. */
  resourceList(group: string, version: string): unknown {
    return this.#cached(`${group}/${version}`, () => {
      const groupVersion = group === '' ? version : `${group}/${version}`;
      const resources = [
        ...this.#kinds(group, version).flatMap(resourcesOf),
        ...reviewKinds.filter((kind) => isOf(kind, group, version)).map(reviewResource),
      ];
      if (resources.length === 0) return undefined;
      return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
    });
  }

  /** Aggregated discovery: everything below `/api` or `/apis` in one document. */
  aggregated(root: 'api' | 'apis', version: 'v2' | 'v2beta1'): unknown {
    return this.#cached(`aggregated ${root} ${version}`, () => ({
      kind: 'APIGroupDiscoveryList',
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items: this.#groups()
        .filter((group) => (root === 'api') === (group === ''))
        .map((group) => this.#aggregatedGroup(group)),
    }));
  }

  #aggregatedGroup(group: string): unknown {
    return {
      metadata:
        group === '' ? { creationTimestamp: null } : { name: group, creationTimestamp: null },
      versions: this.#versions(group).map((version) => ({
        version,
        freshness: 'Current',
        resources: [
          ...this.#kinds(group, version).map(aggregatedResource),
          ...reviewKinds
            .filter((kind) => isOf(kind, group, version))
            .map((kind) => aggregatedReview(kind)),
        ],
      })),
    };
  }

  #group(name: string): Record<string, unknown> {
    const versions = this.#versions(name).map((version) => ({
      groupVersion: `${name}/${version}`,
      version,
    }));
    return { name, versions, preferredVersion: versions[0] };
  }

  #groups(): readonly string[] {
    const all = [...this.#registry.all(), ...reviewKinds].map((kind) => kind.group);
    return [...new Set(all)];
  }

  /** Best first: v1 before v1beta2 before v1beta1 before v1alpha1. */
  #versions(group: string): readonly string[] {
    const all = [...this.#registry.all(), ...reviewKinds]
      .filter((kind) => kind.group === group)
      .map((kind) => kind.version);
    return [...new Set(all)].toSorted(compareVersions);
  }

  #kinds(group: string, version: string): readonly ServedKind[] {
    return this.#registry.all().filter((kind) => isOf(kind, group, version));
  }

  #cached(key: string, compute: () => unknown): unknown {
    if (this.#generation !== this.#registry.generation) {
      this.#cache.clear();
      this.#generation = this.#registry.generation;
    }
    if (this.#cache.has(key)) return this.#cache.get(key);
    const value = compute();
    // Strangers choose the keys of what does not exist.
    if (value !== undefined) this.#cache.set(key, value);
    return value;
  }
}

/** Kubernetes' order of versions, best first. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [versionRank(left), versionRank(right)];
  for (const [index, rank] of a.entries()) {
    const difference = (b[index] ?? 0) - rank;
    if (difference !== 0) return difference;
  }
  return left < right ? -1 : 1;
}

function versionRank(version: string): readonly number[] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return [-1, 0, 0];
  const [, major = '0', stage, minor = '0'] = match;
  const stability = stage === undefined ? 2 : stage === 'beta' ? 1 : 0;
  return [stability, Number(major), Number(minor)];
}

function review(group: string, kind: string): ReviewKind {
  return { group, version: 'v1', plural: `${kind.toLowerCase()}s`, kind, namespaced: false };
}

function isOf(
  kind: { readonly group: string; readonly version: string },
  group: string,
  version: string,
): boolean {
  return kind.group === group && kind.version === version;
}

function resourcesOf(kind: ServedKind): readonly unknown[] {
  const { plural, singular, namespaced, shortNames, categories } = kind;
  const own = {
    name: plural,
    singularName: singular,
    namespaced,
    kind: kind.kind,
    verbs: VERBS,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
    storageVersionHash: storageHash(kind),
  };
  const below = kind.subresources.flatMap((name) => {
    const subresource = subresourceKind(kind, name);
    if (subresource === undefined) return [];
    const { group, version, verbs } = subresource;
    const other = isOf(subresource, kind.group, kind.version) ? {} : { group, version };
    const names = { name: `${plural}/${name}`, singularName: '', namespaced };
    return [{ ...names, ...other, kind: subresource.kind, verbs }];
  });
  return [own, ...below];
}

function aggregatedResource(kind: ServedKind): unknown {
  const { group, version, plural, singular, shortNames, categories } = kind;
  const subresources = kind.subresources.flatMap((name) => {
    const subresource = subresourceKind(kind, name);
    if (subresource === undefined) return [];
    const { verbs, ...responseKind } = subresource;
    return [{ subresource: name, responseKind, verbs }];
  });
  return {
    resource: plural,
    responseKind: { group, version, kind: kind.kind },
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs: VERBS,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
    ...(subresources.length > 0 ? { subresources } : {}),
  };
}

function reviewResource(kind: ReviewKind): unknown {
  const { plural, namespaced } = kind;
  const singularName = kind.kind.toLowerCase();
  return { name: plural, singularName, namespaced, kind: kind.kind, verbs: ['create'] };
}

function aggregatedReview(given: ReviewKind): unknown {
  const { group, version, kind, plural, namespaced } = given;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.toLowerCase(),
    verbs: ['create'],
  };
}

function subresourceKind(kind: ServedKind, name: string): SubresourceKind | undefined {
  const other = SUBRESOURCES[name];
  if (other !== undefined) return other;
  const verbs = OWN_VERBS[name];
  return verbs && { group: kind.group, version: kind.version, kind: kind.kind, verbs };
}

/** Opaque to clients: equal as long as the objects behind a resource are kept in the same form. */
function storageHash(kind: ServedKind): string {
  return Buffer.from(kind.storageKey).toString('base64').slice(0, 12);
}
