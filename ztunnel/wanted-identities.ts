import type { Identity } from '#common/tls/spiffe.ts';
import type { Priority } from '#dataplane/identity/certificates.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import { identityOf, type Workload } from '#dataplane/state/workload.ts';

import type { PlacedPod } from './pod-host.ts';

/** Prefetched identities beyond those of pods; more are fetched when their pods come. */
const PREFETCH_MAX = 256;

/**
 * The identities for which this node needs certificates: those of its pods, and of workloads that the mesh
 * expects on it, so that a pod's first connection finds its certificate there. How urgent each is: that of a
 * pod may have a connection that waits (pure).
 */
export function wantedIdentities(
  pods: Iterable<PlacedPod>,
  workloads: Iterable<Workload>,
  mesh: MeshView,
  node: string | undefined,
): ReadonlyMap<Identity, Priority> {
  const wanted = new Map<Identity, Priority>();
  for (const { pod } of pods) {
    const workload = mesh.localWorkload(pod);
    if (workload !== undefined) wanted.set(identityOf(workload), 'real-time');
  }
  let prefetched = 0;
  for (const workload of workloads) {
    if (node === undefined || workload.node !== node) continue;
    if (workload.protocol !== 'HBONE' && !workload.nativeTunnel) continue;
    const identity = identityOf(workload);
    if (wanted.has(identity)) continue;
    if (prefetched++ >= PREFETCH_MAX) break;
    wanted.set(identity, 'warmup');
  }
  return wanted;
}
