import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import {
  CONFIG_MAPS,
  type KubeObject,
  NODES,
  type Node,
  type ResourceKind,
  SERVICE_ACCOUNTS,
} from '#kube/resources.ts';

/** From the start of their processes. Many nodes on a busy machine take their time. */
const READY_MS_MAX = 120_000;

interface Wanted {
  readonly kind: ResourceKind;
  /** `namespace/name`, or a name alone. */
  readonly name: string;
  readonly holds: (object: KubeObject) => boolean;
  /** For who has waited in vain. */
  readonly what: string;
}

/**
 * Waits until the nodes are ready and the namespace `default` has what its pods need: who has a manifest can apply it.
 *
 * @throws Error naming what is still missing after two minutes
 */
export async function clusterReady(
  client: KubeClient,
  nodeNames: readonly string[],
  log: Logger,
): Promise<void> {
  const wanted: readonly Wanted[] = [
    ...nodeNames.map((name) => ({
      kind: NODES,
      name,
      holds: isReady,
      what: `node ${name}`,
    })),
    {
      kind: SERVICE_ACCOUNTS,
      name: 'default/default',
      holds: exists,
      what: 'service account default',
    },
    {
      kind: CONFIG_MAPS,
      name: 'default/kube-root-ca.crt',
      holds: exists,
      what: "the API server's certificate in namespace default",
    },
  ];
  const informers = new Map(
    [NODES, SERVICE_ACCOUNTS, CONFIG_MAPS].map((kind: ResourceKind) => [
      kind,
      new Informer(client, kind, { log }),
    ]),
  );
  const missing = (): readonly Wanted[] =>
    wanted.filter(({ kind, name, holds }) => {
      const object = informers.get(kind)?.get(name);
      return object === undefined || !holds(object);
    });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = (): void => {
    if (missing().length === 0) resolve();
  };
  for (const informer of informers.values()) {
    informer.on({ added: look, changed: look, removed: look });
    informer.start();
  }
  const timer = setTimeout(() => {
    const names = missing().map(({ what }) => what);
    reject(new Error(`not there after ${READY_MS_MAX / 1_000} s: ${names.join(', ')}`));
  }, READY_MS_MAX);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    for (const informer of informers.values()) informer.stop();
  }
}

function exists(): boolean {
  return true;
}

function isReady(node: Node): boolean {
  const conditions = node.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}
