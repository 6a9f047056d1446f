import type { KubeClient } from '#kube/client.ts';
import { KubeError } from '#kube/errors.ts';
import { apiVersionOf, type OwnerReference, type ResourceKind } from '#kube/resources.ts';

/** A kind that the server serves, and what can be done with its objects. */
export interface ServedApiKind extends ResourceKind {
  readonly verbs: ReadonlySet<string>;
}

interface ResourceList {
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
  }[];
}

interface GroupList {
  readonly groups?: readonly {
    readonly name: string;
    readonly preferredVersion?: { readonly version: string };
    readonly versions: readonly { readonly version: string }[];
  }[];
}

/** Asks the server which kinds it serves, each in the version that it prefers. */
export async function servedKinds(client: KubeClient): Promise<readonly ServedApiKind[]> {
  const core = kindsIn('', 'v1', await client.request<ResourceList>('GET', '/api/v1'));
  const { groups = [] } = await client.request<GroupList>('GET', '/apis');
  const others = await Promise.all(
    groups.map(async ({ name, preferredVersion, versions }) => {
      const version = preferredVersion?.version ?? versions[0]?.version ?? '';
      try {
        const path = `/apis/${name}/${version}`;
        return kindsIn(name, version, await client.request<ResourceList>('GET', path));
      } catch (error) {
        // A group that has just gone, or whose own server does not answer: the rest is still there.
        if (error instanceof KubeError && (error.code === 404 || error.code === 503)) return [];
        throw error;
      }
    }),
  );
  return [...core, ...others.flat()];
}

/** The kind that an owner reference speaks of, whatever its version. */
export function kindOfReference(
  kinds: readonly ServedApiKind[],
  reference: Pick<OwnerReference, 'apiVersion' | 'kind'>,
): ServedApiKind | undefined {
  const slash = reference.apiVersion.indexOf('/');
  const group = reference.apiVersion.slice(0, Math.max(0, slash));
  return kinds.find((kind) => kind.group === group && kind.kind === reference.kind);
}

/** One text for each kind. */
export function kindKey(kind: ResourceKind): string {
  return `${apiVersionOf(kind)}/${kind.plural}`;
}

function kindsIn(group: string, version: string, list: ResourceList): readonly ServedApiKind[] {
  return (list.resources ?? [])
    .filter(({ name }) => !name.includes('/'))
    .map(({ name, kind, namespaced, verbs }) => ({
      group,
      version,
      plural: name,
      kind,
      namespaced,
      verbs: new Set(verbs),
    }));
}
