import { hostnameOf } from '#dataplane/state/names.ts';
import type { Service } from '#dataplane/state/service.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';

export interface ServiceHints {
  /** The application's port. */
  readonly port: number;
  /** From the `forwarded` header of the tunnel request. */
  readonly forwardedHost?: string | undefined;
  /** The service that the tunnel request named. */
  readonly requested?: Service | undefined;
}

/**
 * Which of its services a workload was probably called as, for logs and metrics only: the one that the
 * peer names, if the workload serves it; the one that the request names; else the first that serves the
 * port. Never part of a decision: the peer can write anything there.
 */
export function guessService(
  view: MeshView,
  workload: Workload,
  hints: ServiceHints,
): Service | undefined {
  let servesPort: Service | undefined;
  for (const [key, ports] of workload.services) {
    const isNamed = hints.forwardedHost !== undefined && hostnameOf(key) === hints.forwardedHost;
    if (!isNamed && servesPort !== undefined) continue;
    const service = view.service(key);
    if (service === undefined) continue;
    if (isNamed) return service;
    const targets = [...ports.values(), ...service.ports.values()];
    if (targets.includes(hints.port)) servesPort = service;
  }
  return hints.requested ?? servesPort;
}
