import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { readManifests } from '#cli/mesh/manifests.ts';
import { KubeClient } from '#kube/client.ts';
import { KubeError } from '#kube/errors.ts';
import {
  DAEMON_SETS,
  EVENTS,
  type KubeObject,
  NAMESPACES,
  PODS,
  type Pod as PodObject,
  SERVICE_ACCOUNTS,
} from '#kube/resources.ts';
import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';
import { CLUSTER_ID, writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { type NodeAuthority, startNodeAuthority } from '#tests/bed/node-authority.ts';
import { program, type Running, run, start } from '#tests/bed/process.ts';
import { BedSockets } from '#tests/bed/sockets.ts';
import { createWorld, type Node, type Pod, type World } from '#tests/bed/world.ts';
import { createObject, deleteObject } from '#tests/support/manifests.ts';

/** The machines that land this are slow; nobody waits for longer than it takes. */
const DEADLINE_MS = 60_000;
const POLL_MS = 20;
const AGENT_NAMESPACE = 'istio-system';
const MODE_LABEL = 'istio.io/dataplane-mode';

/** What a CNI plugin has answered. */
export interface PluginRun {
  readonly code: number | null;
  readonly answer: Record<string, unknown>;
}

/**
 * A node with pods, an API server that knows them, and the node agent and node tunnel as processes of their own. The node's
 * root directory is a directory of the world; the container runtime is the test.
 */
export class AgentBed implements AsyncDisposable {
  readonly world: World;
  readonly node: Node;
  readonly sockets: BedSockets;
  readonly client: KubeClient;
  readonly healthPort: number;
  /** The node's root directory. */
  readonly root: string;
  readonly #api: TestApiServer;
  readonly #authority: NodeAuthority;
  readonly #kubeconfig: string;
  #agent: Running | undefined;
  #tunnel: Running | undefined;

  private constructor(
    world: World,
    sockets: BedSockets,
    api: TestApiServer,
    authority: NodeAuthority,
    token: string,
  ) {
    this.world = world;
    this.sockets = sockets;
    this.#api = api;
    this.#authority = authority;
    const [node] = world.nodes;
    if (node === undefined) throw new Error('a world without a node');
    this.node = node;
    this.client = new KubeClient(api.access());
    this.healthPort = 20_000 + (process.pid % 10_000);
    this.root = join(world.directory, 'root');
    this.#kubeconfig = join(world.directory, 'kubeconfig');
    writeFileSync(this.#kubeconfig, kubeconfigWith(api.access(), token));
    for (const path of ['proc/1/ns', 'var/run/netns', 'etc/cni/net.d', 'opt/cni/bin']) {
      mkdirSync(join(this.root, path), { recursive: true });
    }
    symlinkSync(node.netns, join(this.root, 'proc/1/ns/net'));
    this.writeConflist();
  }

  /** A world of one node whose pods are not in the mesh yet; nothing runs but the API server. */
  static async start(prefix: string, pods: readonly string[]): Promise<AgentBed> {
    const world = await createWorld({
      prefix,
      nodes: [{ name: 'near', pods: pods.map((name) => ({ name, namespace: 'shop' })) }],
    });
    const api = await startApiServer();
    const client = new KubeClient(api.access());
    for (const name of ['shop', AGENT_NAMESPACE]) {
      await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
    for (const object of agentObjects()) await createObject(client, object);
    const { status } = await client.post<{ status: { token: string } }>(
      SERVICE_ACCOUNTS,
      'istio-cni',
      AGENT_NAMESPACE,
      'token',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [] } },
    );
    client.close();
    const [node] = world.nodes;
    const authority = await startNodeAuthority(world, node!);
    return new AgentBed(world, await BedSockets.open(), api, authority, status.token);
  }

  get agent(): Running {
    if (this.#agent === undefined) throw new Error('the agent has not been started');
    return this.#agent;
  }

  get tunnel(): Running {
    if (this.#tunnel === undefined) throw new Error('the node tunnel has not been started');
    return this.#tunnel;
  }

  /** Starts the agent; resolves when it is ready. */
  async startAgent(env: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#agent = start(program('cni/agent/main.ts'), {
      env: {
        NODE_NAME: this.node.name,
        POD_NAMESPACE: AGENT_NAMESPACE,
        EXCLUDE_NAMESPACES: 'kube-system',
        KUBECONFIG: this.#kubeconfig,
        HOST_ROOT: this.root,
        ALLOW_SWITCH_TO_HOST_NS: 'true',
        MOUNTED_CNI_NET_DIR: this.hostPath('/etc/cni/net.d'),
        MOUNTED_CNI_BIN_DIR: this.hostPath('/opt/cni/bin'),
        CNI_AGENT_RUN_DIR: this.runDirectory,
        ZTUNNEL_UDS_ADDRESS: this.#tunnelSocket,
        CNI_HOST_NODE: process.execPath,
        CNI_HOST_PROJECT: process.cwd(),
        HEALTH_PORT: String(this.healthPort),
        MONITORING_PORT: '0',
        // Long enough for what a test does meanwhile, on a slow machine.
        AMBIENT_DRAIN_TIME: '10s',
        AMBIENT_AUDIT_INTERVAL: '1s',
        ...env,
      },
    });
    await this.until('the agent is ready', async () => (await this.readiness()) === 200);
  }

  async stopAgent(): Promise<void> {
    await this.agent.stop(DEADLINE_MS);
  }

  /** What `kubectl delete -f` of the agent's manifest does, in its order; the account stays, for its token. */
  async uninstall(): Promise<void> {
    for (const object of agentObjects()) {
      if (object.kind !== 'ServiceAccount') await deleteObject(this.client, object);
    }
  }

  async createDaemonSet(): Promise<void> {
    const [object] = agentObjects().filter(({ kind }) => kind === 'DaemonSet');
    await createObject(this.client, object!);
  }

  async deleteDaemonSet(): Promise<void> {
    await this.client.delete(DAEMON_SETS, 'istio-cni-node', AGENT_NAMESPACE);
  }

  /** Starts the node tunnel in the node; resolves when it is ready. */
  async startTunnel(): Promise<void> {
    const token = join(this.world.directory, 'token');
    writeFileSync(token, 'token-of-the-bed');
    this.#tunnel = this.world.start(this.node, program('ztunnel/main.ts'), {
      env: {
        PROXY_MODE: 'shared',
        INPOD_UDS: this.#tunnelSocket,
        LOCAL_XDS_PATH: writeMeshConfiguration(this.world),
        NODE_NAME: this.node.name,
        CA_ADDRESS: this.#authority.authority,
        CA_ROOT_CA: this.#authority.authorityRoot,
        AUTH_TOKEN: token,
        CLUSTER_ID,
      },
    });
    await this.until('the node tunnel is ready', async () => {
      const url = 'http://127.0.0.1:15021/healthz/ready';
      const page = await this.world.run(this.node, ['curl', '-sf', '-m', '2', url]);
      return page.code === 0;
    });
  }

  async stopTunnel(): Promise<void> {
    await this.tunnel.stop();
  }

  /** Status of the agent's readiness page; 0 when it does not answer. */
  async readiness(): Promise<number> {
    try {
      return (await fetch(`http://127.0.0.1:${this.healthPort}/readyz`)).status;
    } catch {
      return 0;
    }
  }

  get runDirectory(): string {
    return join(this.world.directory, 'istio-cni');
  }

  get #tunnelSocket(): string {
    return join(this.world.directory, 'ztunnel.sock');
  }

  hostPath(path: string): string {
    return join(this.root, path);
  }

  /** The node's own network, as its installer wrote it. */
  writeConflist(): void {
    const network = {
      cniVersion: '1.0.0',
      name: 'bed',
      plugins: [{ type: 'bed-main', subnet: '10.0.0.0/8' }],
    };
    writeFileSync(this.hostPath('/etc/cni/net.d/10-bed.conflist'), JSON.stringify(network));
  }

  /** The plugins of the node's network as they stand now. */
  plugins(): readonly Readonly<Record<string, unknown>>[] {
    const text = readFileSync(this.hostPath('/etc/cni/net.d/10-bed.conflist'), 'utf8');
    return (JSON.parse(text) as { plugins: Record<string, unknown>[] }).plugins;
  }

  async label(mode: 'ambient' | null): Promise<void> {
    const patch = { metadata: { labels: { [MODE_LABEL]: mode } } };
    await this.client.patch(NAMESPACES, 'shop', undefined, patch, { type: 'merge' });
  }

  /** Has the API server know a pod, on this node and without an address; as the kubelet sees it first. */
  async create(pod: Pod, labels: Readonly<Record<string, string>> = {}): Promise<PodObject> {
    const account = { name: pod.serviceAccount, namespace: pod.namespace };
    await this.client
      .create(SERVICE_ACCOUNTS, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account })
      .catch((error: unknown) => {
        // Of a pod of this name before.
        if (!(error instanceof KubeError && error.code === 409)) throw error;
      });
    return this.client.create(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: pod.name, namespace: pod.namespace, labels },
      spec: {
        nodeName: this.node.name,
        serviceAccountName: pod.serviceAccount,
        containers: [{ name: 'main', image: 'none' }],
      },
    });
  }

  /** Says that a pod runs: it has its address, and its namespace has a name on the node. */
  async running(pod: Pod): Promise<void> {
    this.nameNetns(pod);
    const podIPs = [{ ip: pod.ipv4 }, ...(this.world.ipv6 ? [{ ip: pod.ipv6 }] : [])];
    const patch = { status: { phase: 'Running', podIP: pod.ipv4, podIPs } };
    const options = { type: 'merge', subresource: 'status' } as const;
    await this.client.patch(PODS, pod.name, pod.namespace, patch, options);
  }

  nameNetns(pod: Pod): string {
    const path = `/var/run/netns/${pod.name}`;
    try {
      symlinkSync(pod.netns, this.hostPath(path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    return path;
  }

  async delete(pod: Pod): Promise<void> {
    await this.client.delete(PODS, pod.name, pod.namespace, { gracePeriodSeconds: 0 });
  }

  async annotation(pod: Pod): Promise<string | undefined> {
    const { metadata } = await this.client.get(PODS, pod.name, pod.namespace);
    return metadata.annotations?.['ambient.istio.io/redirection'];
  }

  /** What a container runtime does: runs our plugin as the node's configuration says. */
  async addByPlugin(pod: Pod, uid?: string): Promise<PluginRun> {
    const entry = this.plugins().find(({ type }) => type === 'istio-cni');
    if (entry === undefined) throw new Error('the plugin is not in the configuration');
    const prevResult = { cniVersion: '1.0.0', ips: [{ address: `${pod.ipv4}/32` }] };
    const result = await run([this.hostPath('/opt/cni/bin/istio-cni')], {
      env: {
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: 'c1',
        CNI_NETNS: this.nameNetns(pod),
        CNI_IFNAME: 'eth0',
        CNI_PATH: this.hostPath('/opt/cni/bin'),
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name}${uid === undefined ? '' : `;K8S_POD_UID=${uid}`}`,
      },
      input: JSON.stringify({ ...entry, cniVersion: '1.0.0', name: 'bed', prevResult }),
      deadlineMs: DEADLINE_MS,
    });
    return { code: result.code, answer: JSON.parse(result.stdout) as Record<string, unknown> };
  }

  /** Our rules in a pod, empty when there are none. */
  async rules(pod: Pod): Promise<string> {
    const command = ['nft', '--stateless', 'list', 'table', 'inet', 'ambit-pod'];
    return (await this.world.run(pod, command)).stdout;
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (const deadlineMs = Date.now() + DEADLINE_MS; ; await wait(POLL_MS)) {
      if (await holds()) return;
      if (this.#agent?.running === false) throw new Error(`The agent has ended:\n${this.#words()}`);
      if (Date.now() > deadlineMs) throw new Error(`Waited in vain: ${what}\n${this.#words()}`);
    }
  }

  async annotated(pod: Pod, value: string | undefined): Promise<void> {
    const what = `pod ${pod.name} is annotated with ${value}`;
    await this.until(what, async () => (await this.annotation(pod)) === value);
  }

  /** An event of the pod says so, as `kubectl describe` shows it. */
  async told(pod: Pod, text: string): Promise<void> {
    const fieldSelector = `involvedObject.name=${pod.name},involvedObject.kind=Pod`;
    await this.until(`pod ${pod.name} has the event "${text}"`, async () => {
      const { items } = await this.client.list(EVENTS, { namespace: pod.namespace, fieldSelector });
      return items.some(({ type, reason, message }) => `${type} ${reason}: ${message}` === text);
    });
  }

  #words(): string {
    const lines = [this.#agent?.lines.slice(-30) ?? [], this.#tunnel?.lines.slice(-10) ?? []];
    return lines.flat().join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.stop();
    this.sockets[Symbol.dispose]();
    this.client.close();
    await this.#api[Symbol.asyncDispose]();
    await this.world.dispose();
  }
}

/** What the agent may do is what its manifest says, and so is what says that it is to run. */
function agentObjects(): readonly KubeObject[] {
  return readManifests('30-cni.yaml').filter(({ kind }) => /Account|Role|DaemonSet/.test(kind));
}

function kubeconfigWith(access: { server: string; caPem: string }, token: string): string {
  const data = Buffer.from(access.caPem).toString('base64');
  return JSON.stringify({
    clusters: [
      { name: 'c', cluster: { server: access.server, 'certificate-authority-data': data } },
    ],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}
