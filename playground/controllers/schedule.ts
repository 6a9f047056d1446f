import { parseQuantity } from '#kube/quantity.ts';
import type { Node, Pod, PodSpec, StringMap } from '#kube/resources.ts';

import { controllerOf } from './ownership.ts';
import { placementOn } from './placement.ts';
import { isOver } from './pod-state.ts';

/** Where a pod goes, or a sentence for its event. */
export type Schedule =
  | { readonly kind: 'placed'; readonly node: string }
  | { readonly kind: 'unschedulable'; readonly message: string };

/** Amounts by resource name, with `pods` for their number. */
type Amounts = ReadonlyMap<string, number>;

// What a node takes when it does not say: the kubelet's default.
const PODS_PER_NODE = 110;

/**
 * Chooses the node for a pod (pure): of those that it may go to and that have room, the one with the
 * fewest pods of the same owner, then the one with the fewest pods. `pods` are all of the cluster, with
 * `spec.nodeName` as far as it is decided.
 */
export function schedule(pod: Pod, nodes: readonly Node[], pods: readonly Pod[]): Schedule {
  const byNode = Map.groupBy(
    pods.filter((each) => each.spec.nodeName !== undefined && !isOver(each)),
    (each) => each.spec.nodeName ?? '',
  );
  const reasons = new Map<string, number>();
  let best: { readonly node: string; readonly rank: readonly [number, number] } | undefined;
  for (const node of nodes) {
    const present = byNode.get(node.metadata.name) ?? [];
    const why = whyNot(pod, node, present);
    if (why !== undefined) {
      reasons.set(why, (reasons.get(why) ?? 0) + 1);
      continue;
    }
    const rank = [present.filter((each) => isSibling(each, pod)).length, present.length] as const;
    if (best === undefined || isBefore(rank, best.rank)) best = { node: node.metadata.name, rank };
  }
  if (best !== undefined) return { kind: 'placed', node: best.node };
  return { kind: 'unschedulable', message: explain(nodes.length, reasons) };
}

function whyNot(pod: Pod, node: Node, present: readonly Pod[]): string | undefined {
  const placement = placementOn(node, pod.spec);
  if (placement.kind === 'refused') return placement.why;
  const port = hostPorts(pod.spec).find((each) =>
    present.some((other) => hostPorts(other.spec).includes(each)),
  );
  if (port !== undefined) return "node(s) didn't have free ports for the requested pod ports";
  return shortage(pod, node, present);
}

/** The first resource of which the node has too little left. Resources that it does not name are not limited. */
function shortage(pod: Pod, node: Node, present: readonly Pod[]): string | undefined {
  const allocatable = node.status?.allocatable ?? node.status?.capacity ?? {};
  if (present.length + 1 > amount(allocatable, 'pods', PODS_PER_NODE)) return 'Too many pods';
  for (const [resource, wanted] of requestsOf(pod.spec)) {
    const used = present.reduce((sum, each) => sum + (requestsOf(each.spec).get(resource) ?? 0), 0);
    if (used + wanted > amount(allocatable, resource, Number.POSITIVE_INFINITY)) {
      return `Insufficient ${resource}`;
    }
  }
  return undefined;
}

function requestsOf(spec: PodSpec): Amounts {
  const amounts = new Map<string, number>();
  for (const { resources } of spec.containers) {
    for (const [resource, text] of Object.entries(resources?.requests ?? {})) {
      amounts.set(resource, (amounts.get(resource) ?? 0) + (parseQuantity(text) ?? 0));
    }
  }
  return amounts;
}

function amount(amounts: StringMap, resource: string, fallback: number): number {
  const text = amounts[resource];
  return (text === undefined ? undefined : parseQuantity(text)) ?? fallback;
}

function hostPorts(spec: PodSpec): readonly string[] {
  return spec.containers.flatMap(({ ports = [] }) =>
    ports
      .map(({ hostPort, containerPort, protocol = 'TCP' }) => ({
        // With the host's network, every port is one of the host's.
        port: hostPort ?? (spec.hostNetwork === true ? containerPort : 0),
        protocol,
      }))
      .filter(({ port }) => port > 0)
      .map(({ port, protocol }) => `${protocol}/${port}`),
  );
}

function isSibling(first: Pod, second: Pod): boolean {
  const owner = controllerOf(first)?.uid;
  return owner !== undefined && owner === controllerOf(second)?.uid;
}

function isBefore(first: readonly [number, number], second: readonly [number, number]): boolean {
  return first[0] !== second[0] ? first[0] < second[0] : first[1] < second[1];
}

function explain(nodes: number, reasons: ReadonlyMap<string, number>): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  const counted = [...reasons].map(([why, count]) => `${count} ${why}`);
  return `0/${nodes} nodes are available: ${counted.join(', ')}.`;
}
