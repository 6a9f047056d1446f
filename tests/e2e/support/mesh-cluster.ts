import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

import type { KubeClient } from '#kube/client.ts';
import { EVENTS, PODS, type Pod } from '#kube/resources.ts';
import { Kubectl } from '#tests/bed/kubectl.ts';
import { run } from '#tests/bed/process.ts';
import { BedSockets, type DialRequest } from '#tests/bed/sockets.ts';
import { type Cluster, Clusters } from '#tests/support/cluster.ts';

/** A machine that is shared may take long for what takes it a second alone. */
const DEADLINE_MS = 60_000;
const POLL_MS = 10;

export const MESH = 'istio-system';
export const REDIRECTION = 'ambient.istio.io/redirection';
export const MODE = 'istio.io/dataplane-mode';
export const NODES = ['node-1', 'node-2'] as const;

/** A pod, seen from the test: where its sockets are made, and how it is called. */
export interface Home {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly node: string;
  readonly ip: string;
  /** Path of its network namespace. */
  readonly netns: string;
}

/** A cluster with the mesh in it. What is done, kubectl does; traffic comes from sockets in pods that the test holds. */
export class MeshCluster implements AsyncDisposable {
  readonly kubectl: Kubectl;
  readonly client: KubeClient;
  readonly sockets: BedSockets;
  readonly directory: string;
  readonly #clusters: Clusters;

  private constructor(clusters: Clusters, cluster: Cluster, sockets: BedSockets) {
    this.#clusters = clusters;
    this.client = cluster.client;
    this.sockets = sockets;
    this.directory = clusters.directory;
    this.kubectl = new Kubectl({ kubeconfig: cluster.kubeconfig, home: clusters.directory });
  }

  static async up(name: string): Promise<MeshCluster> {
    const clusters = new Clusters();
    try {
      const cluster = await clusters.upWithMesh(name);
      return new MeshCluster(clusters, cluster, await BedSockets.open());
    } catch (error) {
      await clusters[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sockets[Symbol.dispose]();
    this.client.close();
    await this.#clusters[Symbol.asyncDispose]();
  }

  async apply(text: string): Promise<void> {
    await this.kubectl.must(['apply', '-f', '-'], text);
  }

  /** A part of the mesh, after a change. */
  async rolledOut(part: string): Promise<void> {
    await this.kubectl.must(['rollout', 'status', '-n', MESH, part, '--timeout=60s']);
  }

  async pod(namespace: string, name: string): Promise<Pod> {
    return this.client.get(PODS, name, namespace);
  }

  async pods(namespace: string, labelSelector?: string): Promise<readonly Pod[]> {
    const selection = labelSelector === undefined ? {} : { labelSelector };
    return (await this.client.list(PODS, { namespace, ...selection })).items;
  }

  async serviceAddress(namespace: string, name: string): Promise<string> {
    const path = 'jsonpath={.spec.clusterIP}';
    return this.kubectl.must(['get', 'service', '-n', namespace, name, '-o', path]);
  }

  /** Pods that run, by name. */
  async homes(namespace: string, ...names: readonly string[]): Promise<readonly Home[]> {
    return Promise.all(names.map((name) => this.home(namespace, name)));
  }

  async home(namespace: string, name: string): Promise<Home> {
    const pod = await this.pod(namespace, name);
    const exec = ['exec', '-n', namespace, name, '--', 'readlink', '/proc/self/ns/net'];
    const netns = findNetns(await this.kubectl.must(exec));
    const { podIP: ip } = pod.status ?? {};
    const { nodeName: node } = pod.spec;
    const { uid } = pod.metadata;
    if (ip === undefined || node === undefined || uid === undefined) {
      throw new Error(`Pod ${namespace}/${name} does not run yet`);
    }
    return { name, namespace, uid, node, ip, netns };
  }

  /** The node tunnel of a node. */
  async tunnel(node: string): Promise<Home> {
    let tunnel: Home | undefined;
    await this.until(`the node tunnel of ${node} runs`, async () => {
      tunnel = await this.home(MESH, await this.tunnelName(node));
      return true;
    });
    return tunnel as Home;
  }

  async tunnelName(node: string): Promise<string> {
    const pods = await this.pods(MESH, 'app=ztunnel');
    const pod = pods.find(
      ({ spec, metadata, status }) =>
        spec.nodeName === node &&
        metadata.deletionTimestamp === undefined &&
        status?.containerStatuses?.every(({ ready }) => ready) === true,
    );
    if (pod === undefined) throw new Error(`No node tunnel on ${node}`);
    return pod.metadata.name;
  }

  /** Ends the first process of a pod's container as a crash would. */
  kill({ name, netns }: Home): void {
    const [, pid] = /^\/proc\/(\d+)\//.exec(netns) ?? [];
    if (pid === undefined) throw new Error(`No process of ${name} is known`);
    process.kill(Number(pid), 'SIGKILL');
  }

  /** What a node tunnel knows of the mesh. */
  async dump(tunnel: Home): Promise<Dump> {
    const { stdout } = await run(['curl', '-s', '-m', '20', 'http://127.0.0.1:15000/config_dump'], {
      netns: tunnel.netns,
    });
    return JSON.parse(stdout) as Dump;
  }

  /** Until every node tunnel knows that these pods, and no others of their namespace, are reached through tunnels. */
  async untilTunneled(namespace: string, ...names: readonly string[]): Promise<void> {
    const tunnels = await Promise.all(NODES.map((node) => this.tunnel(node)));
    const wanted = names.toSorted().join();
    await this.until(`${wanted || 'nobody'} of ${namespace} is in the mesh`, async () => {
      const dumps = await Promise.all(tunnels.map((tunnel) => this.dump(tunnel)));
      return dumps.every(({ workloads }) => {
        const inside = workloads.filter(
          (one) => one.namespace === namespace && one.protocol === 'HBONE',
        );
        return (
          inside
            .map(({ name }) => name)
            .toSorted()
            .join() === wanted
        );
      });
    });
  }

  /** Polls until it holds. What throws meanwhile is as good as not holding. */
  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + DEADLINE_MS;
    for (;;) {
      let why: unknown;
      try {
        if (await holds()) return;
      } catch (error) {
        why = error;
      }
      if (performance.now() > untilMs) {
        throw new Error(`Waited ${DEADLINE_MS / 1000} s until ${what}`, { cause: why });
      }
      await wait(POLL_MS);
    }
  }

  /** Whether a pod says of itself that its traffic is redirected. */
  async untilRedirected(
    namespace: string,
    names: readonly string[],
    value: string | undefined,
  ): Promise<void> {
    await this.until(`${names.join()} in ${namespace}: ${REDIRECTION}=${value}`, async () => {
      const pods = await Promise.all(names.map((name) => this.pod(namespace, name)));
      return pods.every(({ metadata }) => metadata.annotations?.[REDIRECTION] === value);
    });
  }

  /** Until the last of them has gone. */
  async untilGone(namespace: string, labelSelector: string): Promise<void> {
    await this.until(`no ${labelSelector} is in ${namespace}`, async () => {
      return (await this.pods(namespace, labelSelector)).length === 0;
    });
  }

  async ready(namespace: string, name: string): Promise<void> {
    const condition = ['--for=condition=Ready', `pod/${name}`, '--timeout=60s'];
    await this.kubectl.must(['wait', '-n', namespace, ...condition]);
  }

  async addressOf(namespace: string, name: string): Promise<string> {
    return (await this.pod(namespace, name)).status?.podIP ?? '';
  }

  /** Until an event of a pod says it. */
  async untilEvent(namespace: string, name: string, message: RegExp): Promise<void> {
    const fieldSelector = `involvedObject.name=${name}`;
    await this.until(`an event of ${name} says ${message}`, async () => {
      const { items } = await this.client.list(EVENTS, { namespace, fieldSelector });
      return items.some((event) => message.test(event.message ?? ''));
    });
  }

  async untilServed(from: Pick<Home, 'netns'>, to: DialRequest): Promise<void> {
    await this.until(`${to.ip}:${to.port} serves`, async () => {
      return (await this.knock(from, to)) === 'served';
    });
  }

  /** Knocks once: `served` by the echo there, or what came instead. */
  async knock(from: Pick<Home, 'netns'>, to: DialRequest): Promise<string> {
    const client = await this.sockets.dial(from, to);
    if (typeof client === 'string') return client;
    try {
      this.sockets.send(client, 'knock');
      const answer = await this.sockets.receive(client, `an answer of ${to.ip}:${to.port}`);
      return answer === 'knock' ? 'served' : answer || 'closed';
    } finally {
      this.sockets.close(client);
    }
  }

  /** Asks once by HTTP. */
  async isServedHttp(from: Pick<Home, 'netns'>, to: DialRequest): Promise<boolean> {
    const client = await this.sockets.dial(from, to);
    if (typeof client === 'string') return false;
    try {
      this.sockets.send(client, 'GET /asked HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n');
      const answer = await this.sockets.receive(client, `an answer of ${to.ip}:${to.port}`);
      return answer.startsWith('HTTP/1.1 200 ');
    } finally {
      this.sockets.close(client);
    }
  }

  /** A connection to an echo, in use. */
  async open(from: Pick<Home, 'netns'>, to: DialRequest): Promise<number> {
    const client = await this.sockets.mustDial(from, to);
    if (!(await this.isAlive(client))) throw new Error(`${to.ip}:${to.port} does not answer`);
    return client;
  }

  async isAlive(client: number): Promise<boolean> {
    this.sockets.send(client, 'still');
    return (await this.sockets.receive(client, 'the echo')) === 'still';
  }

  /** Whether an open connection goes through the node tunnel: then its other end is in the pod itself. */
  async isTunneled(from: Pick<Home, 'netns'>, client: number): Promise<boolean> {
    const port = this.sockets.ends(client).local.split(':').at(-1);
    const filter = `sport = :15001 and dport = :${port}`;
    const command = ['ss', '-tnH', 'state', 'established', filter];
    return (await run(command, { netns: from.netns })).stdout.trim() !== '';
  }
}

export interface Dump {
  readonly workloads: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly protocol: string;
  }[];
  readonly policies: readonly { readonly name: string; readonly namespace: string }[];
}

/** The first process of a container in a network namespace, given as `net:[4026531840]`, keeps a path to it. */
function findNetns(wanted: string): string {
  const path = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && isFirstOfContainer(entry))
    .map((pid) => `/proc/${pid}/ns/net`)
    .find((file) => readGone(() => readlinkSync(file)) === wanted);
  if (path === undefined) throw new Error(`No process is in ${wanted}`);
  return path;
}

/** Its number in the innermost of several process namespaces is 1. */
function isFirstOfContainer(pid: string): boolean {
  return /^NSpid:.*\t1$/m.test(readGone(() => readFileSync(`/proc/${pid}/status`, 'utf8')));
}

/** Processes come and go meanwhile. */
function readGone(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
