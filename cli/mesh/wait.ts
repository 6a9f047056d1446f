import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import { EVENTS, NODES, type Node, PODS, type Pod } from '#kube/resources.ts';

import {
  explainPod,
  isHopeless,
  type Progress,
  progressOf,
  unreadyPods,
  type Workload,
} from './rollout.ts';

/** A machine that is busy takes ten times as long as others. */
const READY_MS_MAX = 120_000;
const LOG_LINES = 10;

/** What is waited for: the nodes, and the pods of the mesh on them. */
export interface Wanted {
  readonly nodes: number;
  readonly workloads: readonly Workload[];
}

/**
 * Waits until all nodes and all pods are ready; `tell` gets how far everything is at each change. Stops without an answer
 * when `signal` aborts.
 *
 * @throws Error naming each pod that is not ready, and why, after two minutes, or as soon as waiting makes no sense
 */
export async function untilReady(
  client: KubeClient,
  wanted: Wanted,
  tell: (progress: readonly Progress[]) => void,
  signal: AbortSignal,
): Promise<void> {
  using nodes = new Informer<Node>(client, NODES);
  using pods = new Informer<Pod>(client, PODS);
  const ended = Promise.withResolvers<'ready' | 'hopeless' | 'late'>();
  const look = (): void => {
    const all = progress(wanted, nodes.list(), pods.list());
    tell(all);
    if (all.every((each) => each.ready >= each.wanted)) ended.resolve('ready');
    else if (unready(wanted, pods.list()).some(isHopeless)) ended.resolve('hopeless');
  };
  const timer = setTimeout(() => ended.resolve('late'), READY_MS_MAX);
  signal.addEventListener('abort', () => ended.resolve('ready'), { once: true });
  for (const informer of [nodes, pods]) {
    informer.on({ added: look, changed: look, removed: look });
    informer.start();
  }
  try {
    const how = await ended.promise;
    if (how !== 'ready') throw new Error(await explain(client, wanted, how, nodes, pods));
  } finally {
    clearTimeout(timer);
  }
}

function progress(
  { nodes, workloads }: Wanted,
  foundNodes: readonly Node[],
  pods: readonly Pod[],
): readonly Progress[] {
  const ready = foundNodes.filter(({ status }) =>
    status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'),
  );
  const mesh = workloads.map((workload) => progressOf(workload, pods, nodes));
  return [{ name: 'nodes', ready: ready.length, wanted: nodes }, ...mesh];
}

function unready({ workloads }: Wanted, pods: readonly Pod[]): readonly Pod[] {
  return workloads.flatMap((workload) => unreadyPods(workload, pods));
}

async function explain(
  client: KubeClient,
  wanted: Wanted,
  how: 'hopeless' | 'late',
  nodes: Informer<Node>,
  pods: Informer<Pod>,
): Promise<string> {
  const missing = progress(wanted, nodes.list(), pods.list())
    .filter((each) => each.ready < each.wanted)
    .map((each) => `${each.name} ${each.ready}/${each.wanted}`);
  const why = how === 'late' ? `after ${READY_MS_MAX / 1_000} s` : 'and will not become so';
  const { items: events } = await client.list(EVENTS);
  const explained = await Promise.all(
    unready(wanted, pods.list()).map(async (pod) =>
      explainPod(pod, events, await lastWords(client, pod)),
    ),
  );
  return [`Not ready ${why}: ${missing.join(', ')}`, ...explained].join('\n');
}

/** Of the run before when that has ended. Nothing when there is no log yet. */
async function lastWords(client: KubeClient, { metadata, status }: Pod): Promise<string> {
  const { namespace = 'default', name } = metadata;
  const previous = status?.containerStatuses?.some(
    ({ state, restartCount }) => state?.running === undefined && restartCount > 0,
  );
  const query = `tailLines=${LOG_LINES}${previous === true ? '&previous=true' : ''}`;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/log?${query}`;
  return client.text(path).catch(() => '');
}
