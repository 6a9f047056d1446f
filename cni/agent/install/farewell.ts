import { KubeError } from '#kube/errors.ts';
import type { DaemonSet, Namespace } from '#kube/resources.ts';

/** What the API server says of the agent's own DaemonSet, and of its namespace. */
export type OwnDaemonSet =
  | { readonly kind: 'there'; readonly daemonSet: DaemonSet; readonly namespace: Namespace }
  | { readonly kind: 'failed'; readonly error: unknown };

/** What an agent that ends does with what it has put on its node. */
export type Farewell =
  /** Another one follows: until then no pod of the mesh may start past it, and those that run go on. */
  | 'stays'
  /** The plugin goes, pods stay in the mesh: whether another agent follows is not known. */
  | 'unplugs'
  /** The mesh goes: the plugin is taken away, and pods leave. */
  | 'uninstalls';

export interface FarewellFacts {
  readonly own: OwnDaemonSet;
  /** A watch has seen the DaemonSet go, or its namespace: at the end we may not be allowed to ask any more. */
  readonly sawItGo: boolean;
  /** The plugin's configuration is a file of our own. */
  readonly ownsConfig: boolean;
  /** The plugin goes with every agent. */
  readonly alwaysClean: boolean;
}

/**
 * Pods leave the mesh, and with it what its policies protect, only when it is certain that the mesh goes. When that can't
 * be known, a configuration of our own stays, as it was made to outlive the agent; an entry in somebody else's goes.
 */
export function farewellFor({ own, sawItGo, ownsConfig, alwaysClean }: FarewellFacts): Farewell {
  if (own.kind === 'there') {
    // A namespace that goes takes everything along, pods before DaemonSets perhaps.
    const goes = [own.daemonSet, own.namespace].some(
      ({ metadata }) => metadata.deletionTimestamp !== undefined,
    );
    if (goes) return 'uninstalls';
    return alwaysClean ? 'unplugs' : 'stays';
  }
  const code = own.error instanceof KubeError ? own.error.code : undefined;
  if (code === 404 || sawItGo) return 'uninstalls';
  // An account that has gone points to an uninstallation; a token that is refused has other reasons, too.
  return code === 401 || alwaysClean || !ownsConfig ? 'unplugs' : 'stays';
}
