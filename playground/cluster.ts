import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';

import type { Logger } from '#common/log/logger.ts';
import { KubeClient } from '#kube/client.ts';

import { issueNodeCertificate } from './api-server/certificates.ts';
import type { ClusterNetwork, NodeNetwork } from './network.ts';
import { createNetwork } from './network.ts';
import type { ImageProgram } from './node/images.ts';
import { startNode } from './node-process.ts';
import { Part, type PartOptions } from './part.ts';
import { clusterReady } from './readiness.ts';
import { SMALL_MEMORY } from './small-memory.ts';
import { removeCgroups, type StateDirectory } from './state-directory.ts';

export interface ClusterOptions {
  readonly name: string;
  readonly network: ClusterNetwork;
  readonly state: StateDirectory;
  readonly images: ReadonlyMap<string, ImageProgram>;
  /** A listening socket of the machine's loopback, and the URL under which clients know it. */
  readonly listen: { readonly descriptor: number; readonly url: string };
  /** Programs of this project and its `node`. */
  readonly project: string;
  readonly userNamespace: boolean;
  /** Directory for control groups; undefined where none can be had. */
  readonly cgroups: string | undefined;
  readonly log: Logger;
}

export const API_PORT = 6443;
export const CLUSTER_DOMAIN = 'cluster.local';
export const CLUSTER_DNS = '10.96.0.10';

/** The processes of a cluster: the API server, the controllers, and one for each node. */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #parts: Part[] = [];
  readonly #lost = Promise.withResolvers<never>();
  /** Rejects when the cluster cannot go on: its objects are in the memory of the API server. */
  readonly lost: Promise<never> = this.#lost.promise;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** Makes the network. Resolves when the API server answers. */
  async serve(): Promise<void> {
    const { network, state } = this.#options;
    await createNetwork(network);
    state.directory('log');
    this.lost.catch(() => undefined);
    const onLost = (how: string): void =>
      this.#lost.reject(
        new Error(`the API server has ended (${how}), and with it all objects of the cluster`),
      );
    await this.#run('api-server', () => this.#startApiServer(), /^ready /, { onLost });
  }

  /** Starts what else there is. Resolves when all nodes are ready. */
  async startNodes(): Promise<void> {
    const { network, state } = this.#options;
    await Promise.all([
      this.#run('controllers', () => this.#startControllers(), /^ready$/),
      ...network.nodes.map(async (node) => {
        const log = state.file('nodes', node.name, 'kubelet.log');
        await this.#run(node.name, () => this.#startNode(node), undefined, { logFile: log });
      }),
    ]);
    await this.#ready();
  }

  /** Ends everything: the nodes first, so that they can still say how their pods ended. */
  async stop(): Promise<void> {
    const [apiServer, ...others] = this.#parts;
    await Promise.all(others.map(async (part) => part.stop()));
    await apiServer?.stop();
    removeCgroups(this.#options.cgroups);
  }

  async #run(
    name: string,
    start: () => ChildProcess,
    ready: RegExp | undefined,
    more: Partial<PartOptions> = {},
  ): Promise<void> {
    const logFile = this.#options.state.file('log', `${name}.log`);
    const part = new Part({ name, start, ready, logFile, log: this.#options.log, ...more });
    this.#parts.push(part);
    await part.start();
  }

  async #ready(): Promise<void> {
    const { network, state, log } = this.#options;
    const read = (file: string): string => readFileSync(state.file('pki', file), 'utf8');
    const client = new KubeClient({
      server: this.#server(),
      caPem: read('ca.crt'),
      clientCertificatePem: read('admin.crt'),
      clientKeyPem: read('admin.key'),
    });
    const names = network.nodes.map(({ name }) => name);
    try {
      await clusterReady(client, names, log);
    } finally {
      client.close();
    }
  }

  /** As those inside know the API server. */
  #server(): string {
    return `https://${this.#options.network.address}:${API_PORT}`;
  }

  #startControllers(): ChildProcess {
    const { project, state } = this.#options;
    const program = join(project, 'playground/controllers/main.ts');
    const args = [program, this.#server(), state.file('pki')];
    return this.#spawn('controllers', args, 'pipe', env);
  }

  /** A program with its errors in a log of its own. */
  #spawn(
    name: string,
    args: readonly string[],
    stdin: 'ignore' | 'pipe',
    environment: NodeJS.ProcessEnv,
    ...sockets: readonly number[]
  ): ChildProcess {
    const log = openSync(this.#options.state.file('log', `${name}.log`), 'a', 0o600);
    try {
      return spawn(process.execPath, args, {
        env: environment,
        stdio: [stdin, 'pipe', log, ...sockets],
      });
    } finally {
      closeSync(log);
    }
  }

  #startApiServer(): ChildProcess {
    const { state, network, name, listen, project } = this.#options;
    const inside = `${network.address}:${API_PORT}`;
    const args = [
      ...SMALL_MEMORY.flags,
      join(project, 'playground/api-server/main.ts'),
      '--state',
      state.path,
      '--name',
      name,
      // They have a process of their own.
      '--no-controllers',
      '--listen',
      'fd:3',
      '--server',
      listen.url,
      '--listen',
      inside,
      '--endpoint',
      inside,
      '--kubeconfig',
      state.file('kubeconfig'),
    ];
    const small = { ...env, ...SMALL_MEMORY.environment };
    return this.#spawn('api-server', args, 'ignore', small, listen.descriptor);
  }

  #startNode(node: NodeNetwork): ChildProcess {
    const { state, network, images, project, userNamespace } = this.#options;
    const read = (file: string): string => readFileSync(state.file('pki', file), 'utf8');
    const authority = { certificatePem: read('ca.crt'), privateKeyPem: read('ca.key') };
    const subject = { name: node.name, addresses: [node.address] };
    const own = issueNodeCertificate(authority, subject, Date.now());
    const cgroups = this.#nodeCgroups(node);
    return startNode({
      node,
      config: {
        nodeName: node.name,
        address: node.address,
        podRange: node.podRange,
        clusterDomain: CLUSTER_DOMAIN,
        clusterDns: CLUSTER_DNS,
        serviceRange: network.serviceRange,
        clusterRange: network.podRange,
        images: Object.fromEntries(images),
        ...(cgroups === undefined ? {} : { cgroups }),
        userNamespace,
        apiServer: { url: this.#server() },
        ...own,
        authorityPem: authority.certificatePem,
      },
      directory: state.directory('nodes', node.name),
      project,
      nodeProgram: process.execPath,
    });
  }

  #nodeCgroups(node: NodeNetwork): string | undefined {
    const { cgroups } = this.#options;
    if (cgroups === undefined) return undefined;
    const directory = join(cgroups, node.name);
    mkdirSync(directory, { recursive: true });
    return directory;
  }
}

/** Where control groups of version 2 are mounted and can be made: the directory for this cluster's. Undefined: nowhere. */
export function findCgroups(mountInfo: string, name: string): string | undefined {
  for (const line of mountInfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const mountPoint = left.split(' ')[4];
    if (!right.startsWith('cgroup2 ') || mountPoint === undefined) continue;
    const directory = join(mountPoint, name);
    try {
      mkdirSync(directory, { recursive: true });
      if (existsSync(join(directory, 'cgroup.procs'))) return directory;
    } catch {
      // Not ours to write to, as for plain users: pods are told apart by their network alone.
    }
  }
  return undefined;
}
