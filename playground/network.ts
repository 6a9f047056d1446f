import { runCommand } from '#linux/command.ts';

/** The node at `index` has its place in every range by this number. */
export interface NodeNetwork {
  readonly name: string;
  readonly index: number;
  /** Name of the network namespace (below /run/netns of the cluster's own mount namespace). */
  readonly netns: string;
  /** The node's address on the bridge, on its `eth0`. */
  readonly address: string;
  /** Addresses of the node's pods, `10.244.0.0/24`. */
  readonly podRange: string;
  /** What pods of this node use as their gateway; the first address of `podRange`. */
  readonly podGateway: string;
  /** The other end of the node's `eth0`, a port of the bridge. */
  readonly bridgePort: string;
}

/**
 * A cluster's network:
 *
 *     pod ─ eth0 ══ veth… ─ node ─ eth0 ══ node0 ┐
 *                                                bridge `br0`, with the API server
 *     pod ─ eth0 ══ veth… ─ node ─ eth0 ══ node1 ┘
 *
 * The bridge is in the cluster's own namespace, which nothing connects with the machine's network. Between
 * nodes and pods everything is routed.
 */
export interface ClusterNetwork {
  readonly bridge: string;
  /** Of the cluster's namespace, on the bridge. The API server listens on it. */
  readonly address: string;
  readonly prefixLength: number;
  readonly serviceRange: string;
  /** All pods of all nodes. */
  readonly podRange: string;
  readonly nodes: readonly NodeNetwork[];
}

/** What the executor runs: lines for `ip -batch`, in the cluster's namespace and in each node's. */
export interface NetworkCommands {
  readonly cluster: readonly string[];
  readonly nodes: ReadonlyMap<NodeNetwork, readonly string[]>;
}

/** One /24 each for nodes and pods: more nodes than this would leave no room for 10.244.255.0. */
export const NODES_MAX = 64;

/** Addresses and names of a cluster. Throws when there are more nodes than fit, or none. */
export function planNetwork(nodeNames: readonly string[]): ClusterNetwork {
  if (nodeNames.length === 0 || nodeNames.length > NODES_MAX) {
    throw new Error(
      `Cannot plan a network of ${nodeNames.length} nodes: want 1 to ${NODES_MAX} of them`,
    );
  }
  return {
    bridge: 'br0',
    address: '172.18.0.1',
    prefixLength: 24,
    serviceRange: '10.96.0.0/16',
    podRange: '10.244.0.0/16',
    nodes: nodeNames.map((name, index) => ({
      name,
      index,
      netns: name,
      address: `172.18.0.${2 + index}`,
      podRange: `10.244.${index}.0/24`,
      podGateway: `10.244.${index}.1`,
      bridgePort: `node${index}`,
    })),
  };
}

export function networkCommands(network: ClusterNetwork): NetworkCommands {
  const { bridge, address, prefixLength } = network;
  const cluster = [
    'link set lo up',
    `link add ${bridge} type bridge forward_delay 0`,
    `address add ${address}/${prefixLength} dev ${bridge}`,
    `link set ${bridge} up`,
    ...network.nodes.flatMap((node) => [
      `netns add ${node.netns}`,
      `link add ${node.bridgePort} type veth peer name eth0 netns ${node.netns}`,
      `link set ${node.bridgePort} master ${bridge} up`,
      `route add ${node.podRange} via ${node.address}`,
    ]),
  ];
  return {
    cluster,
    nodes: new Map(network.nodes.map((node) => [node, nodeCommands(network, node)])),
  };
}

function nodeCommands(network: ClusterNetwork, node: NodeNetwork): readonly string[] {
  return [
    'link set lo up',
    `address add ${node.address}/${network.prefixLength} dev eth0`,
    'link set eth0 up',
    `route add default via ${network.address}`,
    ...network.nodes
      .filter((other) => other !== node)
      .map((other) => `route add ${other.podRange} via ${other.address}`),
    // An address of the range that no pod has is answered here, not sent out of the default route.
    `route add unreachable ${node.podRange} metric 4096`,
  ];
}

/**
 * Makes the network in the calling process's network namespace, which must be a fresh one, with a private
 * /run. Throws with what `ip` said when a command fails.
 */
export async function createNetwork(network: ClusterNetwork): Promise<void> {
  const commands = networkCommands(network);
  await run('ip', ['-batch', '-'], commands.cluster);
  await run('sh', ['-c', FORWARD], []);
  await Promise.all(
    Array.from(commands.nodes, async ([node, lines]) => {
      await run('ip', ['-netns', node.netns, '-batch', '-'], lines);
      await run('nsenter', [`--net=/run/netns/${node.netns}`, 'sh', '-c', FORWARD], []);
    }),
  );
}

/** A process sees the /proc/sys/net of the namespace that it is in. */
const FORWARD = 'echo 1 > /proc/sys/net/ipv4/ip_forward';

async function run(
  program: string,
  args: readonly string[],
  lines: readonly string[],
): Promise<void> {
  const result = await runCommand(program, args, { input: `${lines.join('\n')}\n` });
  if (result.kind === 'failed') throw new Error(`Cannot make the network: ${result.message}`);
  if (result.code !== 0) {
    throw new Error(`Cannot make the network: ${program} says ${JSON.stringify(result.stderr)}`);
  }
}
