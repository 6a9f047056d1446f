import { KubeError } from '#kube/errors.ts';
import type { DaemonSet, Namespace } from '#kube/resources.ts';

/** What the API server says of the agent's own DaemonSet, and of its namespace. */
export type OwnDaemonSet =
  | { readonly kind: 'there'; readonly daemonSet: DaemonSet; readonly namespace: Namespace }
  | { readonly kind: 'failed'; readonly error: unknown };

/**
 * Whether an agent that ends takes the plugin away. Not while its DaemonSet stays: another one comes, and until then
 * no pod of the mesh may start past it. When that can't be known: a configuration of our own stays, as it was
 * made to outlive the agent; an entry in somebody else's goes.
 */
export function shouldUninstall(own: OwnDaemonSet, ownsConfig: boolean): boolean {
  if (own.kind === 'there') {
    // A namespace that goes takes everything along, pods before DaemonSets perhaps.
    const goes = [own.daemonSet, own.namespace].map(({ metadata }) => metadata.deletionTimestamp);
    return goes.some((since) => since !== undefined);
  }
  // With the account gone we may ask no more: that is an uninstallation too.
  if (own.error instanceof KubeError && (own.error.code === 404 || own.error.code === 401))
    return true;
  return !ownsConfig;
}
