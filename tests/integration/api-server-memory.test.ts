import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { compiledCodeEnvironment } from '#common/compile-cache.ts';
import { KubeClient } from '#kube/client.ts';
import { kubeconfigCredentials } from '#kube/config.ts';
import {
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  EVENTS,
  type KubeObject,
  NAMESPACES,
  PODS,
  REPLICA_SETS,
  type ResourceKind,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '#kube/resources.ts';
import { SMALL_MEMORY } from '#playground/small-memory.ts';
import { must, program, type Running, start } from '#tests/bed/process.ts';

const MB = 1 << 20;
const RESIDENT_MB_MAX = 120;
const DEPLOYMENT_COUNT = 100;
const PODS_PER_DEPLOYMENT = 10;
/** Two nodes with a kubelet and a node agent each, and the controllers. */
const POD_WATCHERS = 5;
const NAMESPACE = 'load';
const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const NOW = new Date().toISOString();

describe('the memory of an API server', function () {
  this.timeout(180_000);
  let directory: string;
  let server: Running;
  let client: KubeClient;
  const watches = new AbortController();

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'api-server-memory-'));
    // As every `ambit up` does before anything else.
    await must(program('tools/setup.mjs', 'up'), { deadlineMs: 120_000 });
    server = startAsInCluster(directory);
    await server.waitFor(/^ready /, 60_000);
    const kubeconfig = readFileSync(join(directory, 'kubeconfig'), 'utf8');
    client = new KubeClient(kubeconfigCredentials(kubeconfig));
  });
  after(async () => {
    watches.abort();
    client.close();
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  it('is at most 120 MB with 1,000 pods, who belongs to them, and who watches them', async () => {
    for (let count = 0; count < POD_WATCHERS; count += 1) void watchPods();
    await create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE },
    });
    await create(SERVICE_ACCOUNTS, object('v1', 'ServiceAccount', 'default'));
    for (let index = 0; index < DEPLOYMENT_COUNT; index += 1) await deploy(index);
    const { items } = await client.list(PODS, { namespace: NAMESPACE });
    expect(items).to.have.length(DEPLOYMENT_COUNT * PODS_PER_DEPLOYMENT);
    expect(items.every(({ status }) => status?.phase === 'Running')).to.equal(true);
    expect(residentBytes(server.pid) / MB).to.be.at.most(RESIDENT_MB_MAX);
  });

  async function watchPods(): Promise<void> {
    try {
      for await (const _ of client.watch(PODS, { signal: watches.signal }));
    } catch (error) {
      if (!watches.signal.aborted) throw error;
    }
  }

  async function create<T extends KubeObject>(kind: ResourceKind<T>, made: object): Promise<T> {
    return client.create(kind, made as T);
  }

  /** What a deployment of ten pods leaves in a cluster, written by whom it would be written. */
  async function deploy(index: number): Promise<void> {
    const app = `app-${index}`;
    const labels = { app, version: 'v1' };
    const template = { metadata: { labels }, spec: podSpec(undefined) };
    const spec = { replicas: PODS_PER_DEPLOYMENT, selector: { matchLabels: labels }, template };
    await create(DEPLOYMENTS, { ...object('apps/v1', 'Deployment', app, labels), spec });
    const set = await create(REPLICA_SETS, {
      ...object('apps/v1', 'ReplicaSet', `${app}-6f9c4d7b8`, labels),
      spec,
    });
    await create(SERVICES, {
      ...object('v1', 'Service', app, labels),
      spec: { selector: labels, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    });
    const numbers = Array.from({ length: PODS_PER_DEPLOYMENT }, (_, number) => number);
    await create(ENDPOINT_SLICES, {
      ...object('discovery.k8s.io/v1', 'EndpointSlice', `${app}-x7k2p`, {
        'kubernetes.io/service-name': app,
      }),
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: numbers.map((number) => ({
        addresses: [addressOf(index, number)],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: nodeOf(number),
      })),
    });
    const owner = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: set.metadata.name,
      uid: set.metadata.uid,
      controller: true,
      blockOwnerDeletion: true,
    };
    await Promise.all(
      numbers.map(async (number) => {
        const name = `${set.metadata.name}-q${number}v8z`;
        const pod = object('v1', 'Pod', name, { ...labels, 'pod-template-hash': '6f9c4d7b8' });
        const metadata = { ...pod.metadata, ownerReferences: [owner] };
        await create(PODS, { ...pod, metadata, spec: podSpec(nodeOf(number)) });
        await client.patch(PODS, name, NAMESPACE, statusPatch(addressOf(index, number)), {
          type: 'strategic',
          subresource: 'status',
          fieldManager: 'kubelet',
        });
        for (const reason of ['Scheduled', 'Pulled', 'Created', 'Started']) {
          await create(EVENTS, event(name, reason));
        }
      }),
    );
  }
});

/** As playground/cluster.ts does. */
function startAsInCluster(directory: string): Running {
  const [node = '', main = ''] = program('playground/api-server/main.ts');
  const own = ['--state', directory, '--kubeconfig', join(directory, 'kubeconfig')];
  return start(
    [node, ...SMALL_MEMORY.flags, main, ...own, '--no-controllers', '--listen', '127.0.0.1:0'],
    { env: { ...compiledCodeEnvironment(PROJECT), ...SMALL_MEMORY.environment } },
  );
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function object(apiVersion: string, kind: string, name: string, labels: object = {}) {
  return { apiVersion, kind, metadata: { name, namespace: NAMESPACE, labels } };
}

function nodeOf(number: number): string {
  return `node-${(number % 2) + 1}`;
}

function addressOf(index: number, number: number): string {
  return `10.244.${index}.${number + 2}`;
}

function podSpec(nodeName: string | undefined): object {
  const container = {
    name: 'main',
    image: 'docker.io/example/app:1.2.3',
    args: ['--listen', ':8080'],
    ports: [{ name: 'http', containerPort: 8080 }],
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'LOG_LEVEL', value: 'info' },
    ],
    resources: { requests: { cpu: '100m', memory: '64Mi' } },
    readinessProbe: { httpGet: { path: '/ready', port: 8080 } },
  };
  return { containers: [container], ...(nodeName === undefined ? {} : { nodeName }) };
}

function statusPatch(podIP: string): object {
  const conditions = ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'];
  const container = {
    name: 'main',
    image: 'docker.io/example/app:1.2.3',
    imageID: `docker.io/example/app@sha256:${'0'.repeat(64)}`,
    containerID: `playground://${'0'.repeat(64)}`,
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: { startedAt: NOW } },
  };
  return {
    status: {
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      hostIP: '172.18.0.2',
      startTime: NOW,
      conditions: conditions.map((type) => ({ type, status: 'True', lastTransitionTime: NOW })),
      containerStatuses: [container],
    },
  };
}

function event(pod: string, reason: string): object {
  return {
    ...object('v1', 'Event', `${pod}.${reason.toLowerCase()}`),
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: NAMESPACE, name: pod },
    reason,
    message: `${reason} something for the container main of this pod`,
    source: { component: 'kubelet', host: 'node-1' },
    firstTimestamp: NOW,
    lastTimestamp: NOW,
    count: 1,
    type: 'Normal',
  };
}
