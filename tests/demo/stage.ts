import { setTimeout as sleep } from 'node:timers/promises';

import { Capture, type Recording } from '#tests/bed/capture.ts';
import { writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { type NodeAuthority, startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import { program, type Running } from '#tests/bed/process.ts';
import { createWorld, type Node, type Pod, type World } from '#tests/bed/world.ts';

import { type AccessLogLine, findAccessLog } from './access-log.ts';

/** What a customer got: the shop's answer, or why there was none. */
export type Answer =
  | { readonly kind: 'answer'; readonly text: string }
  | { readonly kind: 'error'; readonly why: string };

export interface StageOptions {
  /** Program to run as node tunnel, with its arguments. Default: the project's own. */
  readonly tunnelCommand?: readonly string[];
}

export const SHOP_PORT = 8080;
const PREFIX = 'ambit-demo';
const LOG_DEADLINE_MS = 5000;
const LOG_POLL_MS = 20;

/**
 * The place of the story. Two customers live on one node, what they use on the other:
 *
 *     east: till, guest ══ wire ══ west: shop, stock
 */
export class Stage {
  readonly world: World;
  readonly east: Node;
  readonly west: Node;
  readonly till: Pod;
  readonly guest: Pod;
  readonly shop: Pod;
  readonly stock: Pod;
  readonly #options: StageOptions;
  readonly #tunnels: NodeTunnel[] = [];
  #shopProgram: Running | undefined;

  private constructor(world: World, options: StageOptions) {
    this.world = world;
    this.#options = options;
    this.east = world.node('east');
    this.west = world.node('west');
    this.till = world.pod('till');
    this.guest = world.pod('guest');
    this.shop = world.pod('shop');
    this.stock = world.pod('stock');
  }

  /** Builds nodes and pods and opens the shop; no tunnel yet. */
  static async open(options: StageOptions): Promise<Stage> {
    const world = await createWorld({
      prefix: PREFIX,
      nodes: [
        { name: 'east', pods: [{ name: 'till' }, { name: 'guest' }] },
        { name: 'west', pods: [{ name: 'shop' }, { name: 'stock' }] },
      ],
    });
    try {
      const stage = new Stage(world, options);
      stage.#shopProgram = stage.start(stage.shop, 'shop', SHOP_PORT);
      await stage.#shopProgram.waitFor(/^open$/);
      return stage;
    } catch (error) {
      await world.dispose();
      throw error;
    }
  }

  /** Starts a program of the demo in a pod. */
  start(pod: Pod, name: string, ...args: readonly (string | number)[]): Running {
    const command = program(`tests/demo/programs/${name}.ts`, ...args.map(String));
    return this.world.start(pod, command);
  }

  /** One order from a customer to the shop. */
  async order(from: Pod): Promise<Answer> {
    const customer = this.start(from, 'customer', this.shop.ipv4, SHOP_PORT);
    const said = JSON.parse(await customer.waitFor(/^\{/, 15_000)) as Readonly<
      Record<string, string>
    >;
    const text = said['answer'];
    if (text !== undefined) return { kind: 'answer', text };
    return { kind: 'error', why: said['error'] ?? 'nothing' };
  }

  /** What the shop has last written down. */
  lastOrder(): string | undefined {
    return this.#shopProgram?.lines.at(-1);
  }

  /** Records what passes between the nodes while `action` runs. */
  async recordWire<T>(action: () => Promise<T>): Promise<{ result: T; recording: Recording }> {
    const capture = await Capture.start(this.world, this.east, this.world.wireTo(this.west));
    const result = await action();
    return { result, recording: await capture.stop() };
  }

  /** Starts a node tunnel on each node and puts every pod into its hands. */
  async startTunnels(): Promise<void> {
    const configuration = writeMeshConfiguration(this.world);
    const command = this.#options.tunnelCommand;
    const authorities = new Map<Node, NodeAuthority>();
    // One after the other: the first makes the root that all share.
    for (const node of this.world.nodes) {
      authorities.set(node, await startNodeAuthority(this.world, node));
    }
    const starting = [...authorities].map(async ([node, authority]) =>
      NodeTunnel.start(this.world, node, {
        configuration,
        ...authority,
        ...(command === undefined ? {} : { command }),
      }),
    );
    this.#tunnels.push(...(await Promise.all(starting)));
    for (const pod of this.world.pods) await this.world.enrol(pod);
  }

  tunnel(node: Node): NodeTunnel {
    const found = this.#tunnels.find((tunnel) => tunnel.node === node);
    if (found === undefined) throw new Error(`The tunnel of ${node.name} does not run`);
    return found;
  }

  /** Replaces the mesh's policies by these (a YAML list); the tunnels read the file again. */
  setPolicies(policies: string): void {
    writeMeshConfiguration(this.world, { policies });
  }

  /**
   * The first line of a node's access log, from log line `after` on, whose fields have these values.
   * Tunnels write it a moment after the fact; undefined when it has not come in time.
   */
  async accessLog(
    node: Node,
    wanted: Readonly<Record<string, string>>,
    after = 0,
  ): Promise<AccessLogLine | undefined> {
    const endMs = performance.now() + LOG_DEADLINE_MS;
    for (;;) {
      const [line] = findAccessLog(this.tunnel(node).log.slice(after), wanted);
      if (line !== undefined || performance.now() > endMs) return line;
      await sleep(LOG_POLL_MS);
    }
  }
}

/** Throws with what did not hold. */
export function hold(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
