import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import { chooseIp, drawByWeight, usableEndpoints } from '#dataplane/state/load-balance.ts';
import type { WorkloadUid } from '#dataplane/state/names.ts';
import { type Service, serviceKey } from '#dataplane/state/service.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import { identityOf, type Workload } from '#dataplane/state/workload.ts';

/** A workload that a request can be sent to. */
export interface UpstreamEndpoint {
  readonly workload: Workload;
  /** Of its application. */
  readonly address: SocketAddress;
  /** What its certificate must say, when it is reached through a tunnel; otherwise the connection is plain. */
  readonly expectedIdentities: readonly Identity[] | undefined;
  /** Equal for endpoints whose connections can be used for each other. */
  readonly key: string;
}

/** Where a request is to go. */
export type UpstreamTarget =
  /** To any endpoint of a service that serves this port of it. */
  | { readonly kind: 'service'; readonly service: Service; readonly port: number }
  /** To the address that the client asked for. */
  | { readonly kind: 'workload'; readonly workload: Workload; readonly address: SocketAddress };

/** Requests that an endpoint has now. */
export type LoadOf = (uid: WorkloadUid) => number;

/**
 * Chooses endpoints: those that can serve, the nearest of them, and of two drawn in proportion to capacity the one
 * with fewer requests. What there is to choose from is worked out once for each state of the mesh.
 */
export class EndpointChooser {
  readonly #view: MeshView;
  readonly #source: () => Workload | undefined;
  readonly #usable = new Map<Service, Map<number, readonly UpstreamEndpoint[]>>();

  /** `source`: the waypoint itself, from which nearness is measured. */
  constructor(view: MeshView, source: () => Workload | undefined) {
    this.#view = view;
    this.#source = source;
  }

  /** The mesh has changed. */
  reset(): void {
    this.#usable.clear();
  }

  /** An endpoint, if it can be none of `avoid`; or why there is none. `random`: from 0 up to but without 1. */
  choose(
    target: UpstreamTarget,
    avoid: ReadonlySet<WorkloadUid>,
    loadOf: LoadOf,
    random: () => number,
  ): UpstreamEndpoint | { readonly reason: string } {
    if (target.kind === 'workload') return endpointAt(target.workload, target.address, undefined);
    const { service, port } = target;
    const chosen = lessLoaded(this.#usableWithout(avoid, service, port), loadOf, random);
    return chosen ?? { reason: `no healthy endpoint of ${service.hostname}:${port}` };
  }

  /** Without those to avoid; the next nearest rather than them again. */
  #usableWithout(
    avoid: ReadonlySet<WorkloadUid>,
    service: Service,
    port: number,
  ): readonly UpstreamEndpoint[] {
    const usable = this.#usableFor(service, port);
    if (avoid.size === 0) return usable;
    const fresh = usable.filter(({ workload }) => !avoid.has(workload.uid));
    if (fresh.length > 0) return fresh;
    const farther = this.#findUsable(service, port, avoid);
    return farther.length > 0 ? farther : usable;
  }

  #usableFor(service: Service, servicePort: number): readonly UpstreamEndpoint[] {
    let ports = this.#usable.get(service);
    if (ports === undefined) {
      ports = new Map();
      this.#usable.set(service, ports);
    }
    let usable = ports.get(servicePort);
    if (usable === undefined) {
      usable = this.#findUsable(service, servicePort, NONE);
      ports.set(servicePort, usable);
    }
    return usable;
  }

  #findUsable(
    service: Service,
    servicePort: number,
    avoid: ReadonlySet<WorkloadUid>,
  ): readonly UpstreamEndpoint[] {
    const source = this.#source();
    if (source === undefined) return [];
    const all = this.#view.endpoints(serviceKey(service)).values();
    const endpoints =
      avoid.size === 0 ? all : all.filter(({ workload }) => !avoid.has(workload.uid));
    const lookingFor = 'workload';
    return usableEndpoints({ service, endpoints, source, servicePort, lookingFor }).flatMap(
      ({ workload, port }) => {
        // None of a family that the service permits: it can't be asked.
        const ip = chooseIp(workload, service, undefined);
        return ip === undefined ? [] : [endpointAt(workload, { ip, port }, service)];
      },
    );
  }
}

const NONE: ReadonlySet<WorkloadUid> = new Set();

function lessLoaded(
  usable: readonly UpstreamEndpoint[],
  loadOf: LoadOf,
  random: () => number,
): UpstreamEndpoint | undefined {
  const one = drawByWeight(usable, capacityOf, random);
  if (usable.length === 1) return one;
  const other = drawByWeight(usable, capacityOf, random);
  if (one === undefined || other === undefined) return one;
  return loadOf(other.workload.uid) < loadOf(one.workload.uid) ? other : one;
}

function capacityOf({ workload }: UpstreamEndpoint): number {
  return workload.capacity;
}

function endpointAt(
  workload: Workload,
  address: SocketAddress,
  service: Service | undefined,
): UpstreamEndpoint {
  const isTunnelled = workload.protocol === 'HBONE';
  const expectedIdentities = isTunnelled
    ? [...new Set([...(service?.subjectAltNames ?? []), identityOf(workload)])]
    : undefined;
  const key = `${workload.uid} ${formatSocketAddress(address)} ${expectedIdentities?.join(' ') ?? ''}`;
  return { workload, address, expectedIdentities, key };
}
