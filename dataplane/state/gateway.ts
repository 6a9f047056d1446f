import { namespacedHost } from './names.ts';
import { type Service, serviceKey } from './service.ts';
import type { MeshView } from './view.ts';
import type { GatewayAddress, Workload } from './workload.ts';

/** Whether a workload is the gateway itself, or one of the endpoints behind it. */
export function isGateway(view: MeshView, gateway: GatewayAddress, workload: Workload): boolean {
  const { destination } = gateway;
  if (destination.kind === 'hostname') {
    const { namespace, hostname } = destination;
    if (workload.namespace === namespace && workload.hostname === hostname) return true;
    return workload.services.has(namespacedHost(namespace, hostname));
  }
  const { network, ip } = destination;
  if (workload.network === network && workload.ips.includes(ip)) return true;
  return view
    .servicesWithVip(network, ip)
    .some((service) => workload.services.has(serviceKey(service)));
}

/** Every waypoint that connections to a service may go through: its own, and those of the weighted ones that get any. */
export function waypointsOf(service: Service): readonly GatewayAddress[] {
  const weighted = service.weightedWaypoints.filter(({ weight }) => weight > 0);
  const own = service.waypoint === undefined ? [] : [service.waypoint];
  return [...own, ...weighted.map(({ destination }) => destination)];
}
