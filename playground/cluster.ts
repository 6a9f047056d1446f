import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import type { Logger } from '#common/log/logger.ts';
import { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import { NODES, type Node } from '#kube/resources.ts';

import { issueNodeCertificate } from './api-server/certificates.ts';
import type { ClusterNetwork, NodeNetwork } from './network.ts';
import { createNetwork } from './network.ts';
import type { ImageProgram } from './node/images.ts';
import { startNode } from './node-process.ts';
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

/** A part that ends is started again: at once at first, later and later when it ends again and again. */
const RESTART: BackoffPlan = { firstMs: 250, maxMs: 30_000, spread: 0.2 };
/** Who ran this long starts over. */
const STABLE_MS = 60_000;
/** A node ends its pods before it ends itself. */
const STOP_MS = 5_000;

/** From the start of their processes. Many nodes on a busy machine take their time. */
const READY_MS_MAX = 120_000;

interface Part {
  readonly name: string;
  readonly start: () => ChildProcess;
  child: ChildProcess | undefined;
  failures: number;
}

/** The processes of a cluster: the API server with the controllers, and one for each node. */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #parts: Part[] = [];
  #stopping = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** Makes the network and starts everything. Resolves when the API server answers and all nodes are ready. */
  async start(): Promise<void> {
    const { network, state } = this.#options;
    await createNetwork(network);
    state.directory('log');
    await this.#run({ name: 'api-server', start: () => this.#startApiServer() }, /^ready /);
    await Promise.all(
      network.nodes.map(async (node) =>
        this.#run({ name: node.name, start: () => this.#startNode(node) }, undefined),
      ),
    );
    await this.#nodesReady();
  }

  /** Ends everything: the nodes first, so that they can still say how their pods ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const [apiServer, ...nodes] = this.#parts;
    await Promise.all(nodes.map(async (node) => endPart(node)));
    if (apiServer !== undefined) await endPart(apiServer);
    removeCgroups(this.#options.cgroups);
  }

  /** Starts a part now and whenever it has ended. With `ready`: resolves when it has said so. */
  async #run(given: Pick<Part, 'name' | 'start'>, ready: RegExp | undefined): Promise<void> {
    const part: Part = { ...given, child: undefined, failures: 0 };
    this.#parts.push(part);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#startPart(part, ready, resolve, reject);
    if (ready === undefined) resolve();
    await promise;
  }

  #startPart(
    part: Part,
    ready: RegExp | undefined,
    onReady: () => void,
    onFailure: (error: Error) => void,
  ): void {
    const startedMs = Date.now();
    const child = part.start();
    part.child = child;
    let wasReady = ready === undefined;
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (ready?.test(line) === true) {
          wasReady = true;
          onReady();
        }
      });
    }
    child.once('error', (error) => onFailure(error));
    child.once('exit', (code, signal) => {
      part.child = undefined;
      if (this.#stopping) return;
      const how = signal ?? `code ${code}`;
      if (!wasReady) {
        const said = lastLine(this.#options.state.file('log', `${part.name}.log`));
        return onFailure(new Error(`${part.name} ended before it was ready (${how}): ${said}`));
      }
      if (Date.now() - startedMs >= STABLE_MS) part.failures = 0;
      part.failures += 1;
      const delayMs = backoffMs(RESTART, part.failures, Math.random);
      this.#options.log.error('a part ended and is started again', {
        part: part.name,
        how,
        delay_ms: Math.round(delayMs),
      });
      setTimeout(() => {
        if (!this.#stopping) this.#startPart(part, ready, onReady, onFailure);
      }, delayMs);
    });
  }

  async #nodesReady(): Promise<void> {
    const { network, state, log } = this.#options;
    const read = (file: string): string => readFileSync(state.file('pki', file), 'utf8');
    const client = new KubeClient({
      server: `https://${network.address}:${API_PORT}`,
      caPem: read('ca.crt'),
      clientCertificatePem: read('admin.crt'),
      clientKeyPem: read('admin.key'),
    });
    const nodes = new Informer(client, NODES, { log });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const missing = (): readonly string[] =>
      network.nodes.map(({ name }) => name).filter((name) => !isReady(nodes.get(name)));
    const look = (): void => {
      if (missing().length === 0) resolve();
    };
    nodes.on({ added: look, changed: look, removed: look });
    nodes.start();
    const timer = setTimeout(() => {
      const logs = state.file('nodes', missing()[0] ?? '', 'kubelet.log');
      const names = missing().join(', ');
      reject(new Error(`not ready after ${READY_MS_MAX / 1_000} s: ${names} (see ${logs})`));
    }, READY_MS_MAX);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      nodes.stop();
      client.close();
    }
  }

  #startApiServer(): ChildProcess {
    const { state, network, name, listen, project } = this.#options;
    const inside = `${network.address}:${API_PORT}`;
    const args = [
      join(project, 'playground/api-server/main.ts'),
      '--state',
      state.path,
      '--name',
      name,
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
    const log = openSync(state.file('log', 'api-server.log'), 'a', 0o600);
    try {
      return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', log, listen.descriptor] });
    } finally {
      closeSync(log);
    }
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
        apiServer: { url: `https://${network.address}:${API_PORT}` },
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

function isReady(node: Node | undefined): boolean {
  const conditions = node?.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}

async function endPart({ child }: Part): Promise<void> {
  if (child === undefined) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  if (child.exitCode !== null || child.signalCode !== null) return;
  // A node hears that its input ends; the API server has none and gets the signal.
  if (child.stdin === null) child.kill('SIGTERM');
  else child.stdin.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await promise;
  clearTimeout(timer);
}
