import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  renderRemoval,
  renderRouting,
  renderRoutingRemoval,
  renderRuleset,
} from '#cni/rules/render.ts';
import { type CaptureOptions, captureRules, type Family } from '#cni/rules/ruleset.ts';

import { type Addresses, nodeAddresses, nodeSubnets, podAddresses } from './addresses.ts';
import { NETNS_DIRECTORY, ownName, removeNamespaces, removeStale } from './namespaces.ts';
import {
  killAllGroups,
  must,
  type Result,
  type Running,
  type RunOptions,
  run,
  type StartOptions,
  start,
} from './process.ts';

export interface PodSpec {
  readonly name: string;
  /** Kubernetes namespace. Default `default`. */
  readonly namespace?: string;
  /** Default: the pod's name. */
  readonly serviceAccount?: string;
}

export interface NodeSpec {
  readonly name: string;
  readonly pods: readonly PodSpec[];
}

export interface WorldSpec {
  /** Start of every name that the world leaves on the machine, such as `ambit-demo`. */
  readonly prefix: string;
  readonly nodes: readonly NodeSpec[];
}

/** Something with a network namespace of its own. */
export interface Place extends Addresses {
  readonly name: string;
  /** Path of the namespace. */
  readonly netns: string;
}

export interface Pod extends Place {
  readonly uid: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly node: Node;
  /** The pod's interface as seen from its node. */
  readonly nodeInterface: string;
}

export interface Node extends Place {
  readonly pods: readonly Pod[];
}

/**
 * Nodes and pods as network namespaces:
 *
 *     pod ─ eth0 ══ pod0 ┐                              ┌ pod0 ══ eth0 ─ pod
 *                        ├─ node ─ wire1 ══ wire0 ─ node ┤
 *     pod ─ eth0 ══ pod1 ┘                              └ pod1 ══ eth0 ─ pod
 *
 * Each pair of nodes has a wire of its own, called `wire<index of the other node>` at both ends.
 * All traffic is routed, nothing is bridged; IPv4 and (where the kernel has it) IPv6.
 */
export async function createWorld(spec: WorldSpec): Promise<World> {
  removeStale(spec.prefix);
  const world = new World(spec);
  try {
    await build(world);
    return world;
  } catch (error) {
    await world.dispose();
    throw error;
  }
}

export class World implements AsyncDisposable {
  readonly nodes: readonly Node[];
  /** For files of this world; removed with it. */
  readonly directory: string;
  readonly ipv6: boolean = existsSync('/proc/net/if_inet6');
  readonly #running = new Set<Running>();
  readonly #onExit = (): void => this.#removeAtOnce();

  constructor(spec: WorldSpec) {
    this.nodes = spec.nodes.map((node, index) => describeNode(spec.prefix, node, index));
    this.directory = mkdtempSync(join(tmpdir(), ownName(spec.prefix, '')));
    process.once('exit', this.#onExit);
  }

  get pods(): readonly Pod[] {
    return this.nodes.flatMap((node) => node.pods);
  }

  node(name: string): Node {
    return named(this.nodes, name, 'node');
  }

  pod(name: string): Pod {
    return named(this.pods, name, 'pod');
  }

  /** Name of the interface on every other node whose other end is on `to`. */
  wireTo(to: Node): string {
    return wireName(this.nodes.indexOf(to));
  }

  /** Runs a program inside to its end. */
  async run(place: Place, command: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run(command, { ...options, netns: place.netns });
  }

  /** Starts a program inside that stays; it ends with the world at the latest. */
  start(place: Place, command: readonly string[], options: StartOptions = {}): Running {
    const running = start(command, { ...options, netns: place.netns });
    this.#running.add(running);
    const forget = (): void => {
      this.#running.delete(running);
    };
    running.exited.then(forget, forget);
    return running;
  }

  /** Puts the pod's traffic into the hands of the node tunnel. Doing it again changes nothing. */
  async enrol(pod: Pod, options: CaptureOptions = {}): Promise<void> {
    const rules = captureRules({ ipv6: this.ipv6, ...options });
    await this.#removeRouting(pod);
    for (const family of rules.routing.families) {
      await must(['ip', familyOption(family), '-batch', '-'], {
        netns: pod.netns,
        input: renderRouting(rules.routing),
      });
    }
    await must(['nft', '-f', '-'], { netns: pod.netns, input: renderRuleset(rules) });
  }

  /** Takes the rules out of the pod again; connections that pass through them break. */
  async release(pod: Pod): Promise<void> {
    await must(['nft', '-f', '-'], {
      netns: pod.netns,
      input: renderRemoval(captureRules().table),
    });
    await this.#removeRouting(pod);
  }

  /** Ends every program, removes every namespace and file. */
  async dispose(): Promise<void> {
    process.off('exit', this.#onExit);
    await Promise.all([...this.#running].map(async (running) => running.stop()));
    this.#removeAtOnce();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #removeRouting(pod: Pod): Promise<void> {
    const { routing } = captureRules({ ipv6: this.ipv6 });
    for (const family of routing.families) {
      // Fails where there is nothing to remove: that is fine.
      await run(['ip', familyOption(family), '-force', '-batch', '-'], {
        netns: pod.netns,
        input: renderRoutingRemoval(routing),
      });
    }
  }

  #removeAtOnce(): void {
    killAllGroups();
    removeNamespaces([...this.nodes, ...this.pods].map((place) => nameOf(place)));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function describeNode(prefix: string, spec: NodeSpec, index: number): Node {
  const pods: Pod[] = [];
  const node: Node = {
    name: spec.name,
    netns: join(NETNS_DIRECTORY, ownName(prefix, spec.name)),
    ...nodeAddresses(index),
    pods,
  };
  for (const [order, pod] of spec.pods.entries()) {
    const namespace = pod.namespace ?? 'default';
    pods.push({
      name: pod.name,
      namespace,
      serviceAccount: pod.serviceAccount ?? pod.name,
      uid: `uid-${namespace}-${pod.name}`,
      netns: join(NETNS_DIRECTORY, ownName(prefix, pod.name)),
      node,
      nodeInterface: `pod${order}`,
      ...podAddresses(index, order),
    });
  }
  return node;
}

async function build(world: World): Promise<void> {
  const places = [...world.nodes, ...world.pods];
  await must(['ip', '-batch', '-'], {
    input: lines([...places.map((place) => `netns add ${nameOf(place)}`), ...linkLines(world)]),
  });
  await Promise.all([
    ...world.nodes.map(async (node) => configure(node, nodeLines(world, node))),
    ...world.pods.map(async (pod) => configure(pod, podLines(world, pod))),
    ...world.nodes.map(async (node) => forwardPackets(world, node)),
  ]);
}

function linkLines(world: World): string[] {
  const pods = world.pods.map(
    (pod) =>
      `link add eth0 netns ${nameOf(pod)} type veth peer name ${pod.nodeInterface} netns ${nameOf(pod.node)}`,
  );
  const wires = world.nodes.flatMap((one, i) =>
    world.nodes
      .slice(i + 1)
      .map(
        (other, j) =>
          `link add ${wireName(i + 1 + j)} netns ${nameOf(one)} type veth peer name ${wireName(i)} netns ${nameOf(other)}`,
      ),
  );
  return [...pods, ...wires];
}

function podLines(world: World, pod: Pod): string[] {
  return [
    'link set lo up',
    ...deviceLines(world, 'eth0', pod),
    `route add default via ${pod.node.ipv4} dev eth0 onlink`,
    ...(world.ipv6 ? [`route add default via ${pod.node.ipv6} dev eth0 onlink`] : []),
  ];
}

function nodeLines(world: World, node: Node): string[] {
  const out = ['link set lo up'];
  for (const pod of node.pods) {
    out.push(...deviceLines(world, pod.nodeInterface, node));
    out.push(`route add ${pod.ipv4}/32 dev ${pod.nodeInterface}`);
    if (world.ipv6) out.push(`route add ${pod.ipv6}/128 dev ${pod.nodeInterface}`);
  }
  for (const [index, other] of world.nodes.entries()) {
    if (other === node) continue;
    const subnets = nodeSubnets(index);
    out.push(...deviceLines(world, wireName(index), node));
    out.push(`route add ${subnets.ipv4} via ${other.ipv4} dev ${wireName(index)} onlink`);
    if (world.ipv6) {
      out.push(`route add ${subnets.ipv6} via ${other.ipv6} dev ${wireName(index)} onlink`);
    }
  }
  return out;
}

/** Addresses of a device, and the device up. */
function deviceLines(world: World, device: string, at: Addresses): string[] {
  const ipv4 = `address add ${at.ipv4}/32 dev ${device}`;
  const up = `link set ${device} up`;
  if (!world.ipv6) return [ipv4, up];
  // nodad: usable at once, and nobody else can have it here.
  return [
    ipv4,
    `link set ${device} addrgenmode none`,
    `address add ${at.ipv6}/128 dev ${device} nodad`,
    `address add ${at.linkLocal}/64 dev ${device} nodad`,
    up,
  ];
}

async function configure(place: Place, batch: readonly string[]): Promise<void> {
  await must(['ip', '-batch', '-'], { netns: place.netns, input: lines(batch) });
}

async function forwardPackets(world: World, node: Node): Promise<void> {
  const settings = ['ipv4/ip_forward', ...(world.ipv6 ? ['ipv6/conf/all/forwarding'] : [])];
  // A process sees the /proc/sys/net of the namespace that it is in.
  const script = settings.map((setting) => `echo 1 > /proc/sys/net/${setting}`).join(' && ');
  await must(['sh', '-c', script], { netns: node.netns });
}

function named<T extends { readonly name: string }>(
  all: readonly T[],
  name: string,
  kind: string,
): T {
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(
    `No ${kind} is called "${name}": there is ${all.map((one) => one.name).join(', ')}`,
  );
}

function familyOption(family: Family): string {
  return family === 'ip' ? '-4' : '-6';
}

function nameOf(place: Place): string {
  return place.netns.slice(NETNS_DIRECTORY.length + 1);
}

function wireName(peer: number): string {
  return `wire${peer}`;
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
