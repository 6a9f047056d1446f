import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLUSTER_ID } from './mesh-configuration.ts';
import { type Exit, program, type Running } from './process.ts';
import type { Node, Pod, World } from './world.ts';

export interface TunnelOptions {
  /** What `writeMeshConfiguration` returned. */
  readonly configuration: string;
  /** Where the node finds the certificate authority, such as `https://127.0.0.1:15012`. */
  readonly authority: string;
  /** PEM file with the authority's root. */
  readonly authorityRoot: string;
  /** Pods to announce at the start. Default: all of the node. */
  readonly pods?: readonly Pod[];
  /** Program to run. Default: the project's own. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly readyDeadlineMs?: number;
}

const READY_DEADLINE_MS = 20_000;

/** The node tunnel of one node, with the agent that hands it pods. */
export class NodeTunnel {
  readonly node: Node;
  /** The agent: `tell('add …')`, `tell('del …')`; its lines say what was acknowledged. */
  get agent(): Running {
    return this.#agent;
  }

  #agent: Running;
  readonly #world: World;
  readonly #options: TunnelOptions;
  #process: Running;

  private constructor(world: World, node: Node, agent: Running, options: TunnelOptions) {
    this.#world = world;
    this.node = node;
    this.#agent = agent;
    this.#options = options;
    this.#process = this.#spawn();
  }

  /** Starts agent and tunnel in the node's namespace; resolves when every pod is served. */
  static async start(world: World, node: Node, options: TunnelOptions): Promise<NodeTunnel> {
    const agent = await startAgent(world, node, options);
    const tunnel = new NodeTunnel(world, node, agent, options);
    await tunnel.#served(0);
    return tunnel;
  }

  /** The program that serves now. */
  get process(): Running {
    return this.#process;
  }

  /** What the program has said so far, standard output and error. */
  get log(): readonly string[] {
    return this.#process.lines;
  }

  /** Announces one more pod; resolves when it is served. */
  async add(pod: Pod): Promise<void> {
    const heard = this.agent.lines.length;
    this.agent.tell(`add ${announcementOf(pod)}`);
    const answer = await this.agent.waitFor(
      new RegExp(`^(ack|refused) ${pod.uid}\\b`),
      READY_DEADLINE_MS,
      heard,
    );
    if (!answer.startsWith('ack')) throw new Error(answer);
  }

  /** Withdraws a pod; resolves when its proxy has gone. */
  async delete(pod: Pod): Promise<void> {
    const heard = this.agent.lines.length;
    this.agent.tell(`del ${pod.uid}`);
    await this.agent.waitFor(new RegExp(`^ack del ${pod.uid}$`), READY_DEADLINE_MS, heard);
  }

  /** Starts a second program beside the first; resolves when it has the snapshot, with the one it succeeds. */
  async startSuccessor(env: Readonly<Record<string, string>> = {}): Promise<Running> {
    const heard = this.agent.lines.length;
    const predecessor = this.#process;
    this.#process = this.#spawn(env);
    await this.#served(heard);
    return predecessor;
  }

  /** Starts a second program and waits for nothing; the first one stays the tunnel's. */
  startBeside(env: Readonly<Record<string, string>> = {}): Running {
    return this.#spawn(env);
  }

  /** Where the program listens for its successor. */
  get handOverPath(): string {
    return `${socketPath(this.#world, this.node)}.handover`;
  }

  /** Starts the agent again after it was stopped; resolves when it has told everything. */
  async restartAgent(): Promise<void> {
    this.#agent = await startAgent(this.#world, this.node, this.#options);
    await this.#served(0);
  }

  async stop(): Promise<Exit> {
    const exit = await this.#process.stop();
    await this.agent.stop();
    return exit;
  }

  async #served(after: number): Promise<void> {
    const deadlineMs = this.#options.readyDeadlineMs ?? READY_DEADLINE_MS;
    const answer = await Promise.race([
      this.agent.waitFor(/^(snapshot acked|refused .*)$/, deadlineMs, after),
      this.#process.exited.then((exit) => this.#diedEarly(exit)),
    ]);
    if (answer !== 'snapshot acked') throw new Error(`${answer}\n${this.#lastWords()}`);
  }

  #diedEarly(exit: Exit): never {
    throw new Error(
      `The tunnel of ${this.node.name} ended (${exit.signal ?? exit.code}) before it served its pods:\n${this.#lastWords()}`,
    );
  }

  #lastWords(): string {
    return this.#process.lines.slice(-30).join('\n');
  }

  #spawn(env: Readonly<Record<string, string>> = {}): Running {
    const { configuration, authority, authorityRoot } = this.#options;
    const token = join(this.#world.directory, 'token');
    writeFileSync(token, 'token-of-the-bed');
    return this.#world.start(this.node, this.#options.command ?? program('ztunnel/main.ts'), {
      env: {
        PROXY_MODE: 'shared',
        INPOD_UDS: socketPath(this.#world, this.node),
        XDS_ADDRESS: '',
        LOCAL_XDS_PATH: configuration,
        NODE_NAME: this.node.name,
        CA_ADDRESS: authority,
        CA_ROOT_CA: authorityRoot,
        AUTH_TOKEN: token,
        CLUSTER_ID,
        ...this.#options.env,
        ...env,
      },
    });
  }
}

async function startAgent(world: World, node: Node, options: TunnelOptions): Promise<Running> {
  const announced = (options.pods ?? node.pods).map(announcementOf);
  const command = program('tests/bed/zds-server.ts', socketPath(world, node), ...announced);
  const agent = world.start(node, command);
  await agent.waitFor(/^listening$/);
  return agent;
}

function socketPath(world: World, node: Node): string {
  return join(world.directory, `${node.name}.sock`);
}

function announcementOf(pod: Pod): string {
  return [pod.netns, pod.uid, pod.name, pod.namespace, pod.serviceAccount].join(',');
}
