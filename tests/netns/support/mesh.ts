import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { type MeshOptions, writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { type NodeAuthority, startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import type { Running } from '#tests/bed/process.ts';
import { BedSockets, type DialRequest } from '#tests/bed/sockets.ts';
import {
  createWorld,
  type Node,
  type Place,
  type Pod,
  type World,
  type WorldSpec,
} from '#tests/bed/world.ts';
import { parseAccessLogLine } from '#tests/demo/access-log.ts';

export type MeshSpec = WorldSpec &
  MeshOptions & { readonly env?: Readonly<Record<string, string>> };

/** Both ends of a connection that the test holds. */
export interface Ends {
  readonly client: number;
  readonly server: number;
}

/** What an HTTP page of a node answers. */
export interface Page {
  readonly status: number;
  readonly body: string;
}

const READINESS_MS = 60_000;

/** A world with a node tunnel on every node, and sockets of the test's own in its pods. */
export class Mesh implements AsyncDisposable {
  readonly world: World;
  readonly sockets: BedSockets;
  readonly #spec: MeshSpec;
  readonly #tunnels = new Map<string, NodeTunnel>();
  readonly #listeners = new Map<string, number>();

  private constructor(world: World, sockets: BedSockets, spec: MeshSpec) {
    this.world = world;
    this.sockets = sockets;
    this.#spec = spec;
  }

  /** Everything runs, and every pod that is not `outside` is served. */
  static async start(spec: MeshSpec): Promise<Mesh> {
    const world = await createWorld(spec);
    try {
      const mesh = new Mesh(world, await BedSockets.open(), spec);
      await mesh.#startAll();
      return mesh;
    } catch (error) {
      await world.dispose();
      throw error;
    }
  }

  async #startAll(): Promise<void> {
    const configuration = writeMeshConfiguration(this.world, this.#spec);
    const served = this.world.pods.filter(({ name }) => !this.#spec.outside?.includes(name));
    const authorities = new Map<Node, NodeAuthority>();
    // One after the other: the first makes the root that they share.
    for (const node of this.world.nodes) {
      authorities.set(node, await startNodeAuthority(this.world, node));
    }
    const starting = [...authorities].map(async ([node, authority]) => {
      const tunnel = await NodeTunnel.start(this.world, node, {
        ...authority,
        configuration,
        pods: served.filter((pod) => pod.node === node),
        env: this.#spec.env ?? {},
      });
      this.#tunnels.set(node.name, tunnel);
    });
    await Promise.all([...starting, ...served.map((pod) => this.world.enrol(pod))]);
  }

  tunnel(node: string): NodeTunnel {
    const tunnel = this.#tunnels.get(node);
    if (tunnel === undefined) throw new Error(`Node "${node}" has no tunnel`);
    return tunnel;
  }

  pod(name: string): Pod {
    return this.world.pod(name);
  }

  /** What the tunnels read their configuration from. */
  get configuration(): string {
    return join(this.world.directory, 'mesh.yaml');
  }

  /** Tells the tunnels about other policies; they take them up a moment later. */
  writePolicies(policies: string, selected: MeshOptions['selected'] = {}): void {
    writeMeshConfiguration(this.world, { ...this.#spec, policies, selected });
  }

  /** The same; resolves when they are in force on every node. */
  async setPolicies(policies: string, selected: MeshOptions['selected'] = {}): Promise<void> {
    const marks = [...this.#tunnels.values()].map(mark);
    const before = existsSync(this.configuration) ? readFileSync(this.configuration, 'utf8') : '';
    this.writePolicies(policies, selected);
    // Tunnels have nothing to take up.
    if (readFileSync(this.configuration, 'utf8') === before) return;
    await Promise.all(marks.map((from) => takenUp(from)));
    // Workers hear of everything in order: whoever answers for the dump has the policies.
    await Promise.all(this.world.nodes.map(({ name }) => this.page(name, ':15000/config_dump')));
  }

  /** A connection from pod to pod, both ends held by the test. */
  async open(from: Pod, to: Pod, port: number, family: 'ipv4' | 'ipv6' = 'ipv4'): Promise<Ends> {
    const listener = this.listen(to, port);
    const client = await this.sockets.mustDial(from, { ip: to[family], port });
    return { client, server: await this.sockets.accept(listener) };
  }

  /**
   * Calls, says something, and returns the answer: a text, empty at the end of the stream, or the name of an
   * error. The tunnel answers the call itself, so a refusal may come at any moment after that.
   */
  async ask(from: Place, to: DialRequest, text: string): Promise<string> {
    const client = await this.sockets.dial(from, to);
    if (typeof client === 'string') return client;
    this.sockets.send(client, text);
    const answer = await this.sockets.receive(client, `${to.ip}:${to.port} to answer ${from.name}`);
    this.sockets.close(client);
    return answer;
  }

  /** A listener for `open`; made once, so that connections which must not arrive can be looked for. */
  listen(pod: Pod, port: number): number {
    const key = `${pod.name}:${port}`;
    const listener = this.#listeners.get(key) ?? this.sockets.listen(pod, { port });
    this.#listeners.set(key, listener);
    return listener;
  }

  /** Closes both ends in order. */
  async close({ client, server }: Ends): Promise<void> {
    this.sockets.finish(client);
    await this.sockets.receive(server, 'the end of the client');
    this.sockets.finish(server);
    await this.sockets.receive(client, 'the end of the server');
    this.sockets.close(client);
    this.sockets.close(server);
  }

  /** A page of a node's tunnel, such as `:15021/healthz/ready`. */
  async page(node: string, address: string): Promise<Page> {
    return page(this.world, this.world.node(node), `http://127.0.0.1${address}`);
  }

  /** What the readiness page of a node's tunnel says, as soon as it has this status. */
  async untilReadiness(node: string, status: number): Promise<string> {
    const untilMs = performance.now() + READINESS_MS;
    for (;;) {
      const found = await this.page(node, ':15021/healthz/ready');
      if (found.status === status) return found.body;
      if (performance.now() > untilMs) {
        throw new Error(`Readiness is ${found.status} instead of ${status}: ${found.body}`);
      }
    }
  }

  /** The values of all series, by name and labels. */
  async metrics(node: string): Promise<ReadonlyMap<string, number>> {
    const { body } = await this.page(node, ':15020/metrics');
    const values = new Map<string, number>();
    for (const line of body.split('\n')) {
      const space = line.lastIndexOf(' ');
      if (!line.startsWith('#') && space > 0) {
        values.set(line.slice(0, space), Number(line.slice(space + 1)));
      }
    }
    return values;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sockets[Symbol.dispose]();
    await this.world.dispose();
  }
}

export async function page(world: World, from: Place, url: string): Promise<Page> {
  const { stdout } = await world.run(from, ['curl', '-s', '-m', '5', '-w', '\n%{http_code}', url]);
  const end = stdout.lastIndexOf('\n');
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
}

/** Where the log of a program is now: what comes later can be asked for. */
export function mark(tunnel: NodeTunnel): { readonly process: Running; readonly after: number } {
  return { process: tunnel.process, after: tunnel.log.length };
}

async function takenUp({ process, after }: ReturnType<typeof mark>): Promise<void> {
  await process.waitFor(/\tlocal configuration taken up\t/, 5_000, after);
}

/** The fields of the first access line that matches, after a mark; their order is that of the line. */
export async function accessLine(
  from: ReturnType<typeof mark>,
  pattern: RegExp,
  deadlineMs = 5_000,
): Promise<ReadonlyMap<string, string>> {
  const line = await from.process.waitFor(pattern, deadlineMs, from.after);
  const parsed = parseAccessLogLine(line);
  if (parsed === undefined) throw new Error(`Not an access line: ${line}`);
  return new Map([['message', parsed.message], ...parsed.fields]);
}

/** An address in a pattern. */
export function quoted(text: string): string {
  return text.replaceAll(/[.[\]]/g, '\\$&');
}
