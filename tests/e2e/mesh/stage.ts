import type { Pod } from '#kube/resources.ts';

import { type Home, type MeshCluster, MODE, NODES } from '../support/mesh-cluster.ts';
import { wirePod } from '../support/wire-pod.ts';

/** The echo of every pod, and a port for people. */
export const ECHO = 9_000;
export const HTTP = 8_080;
/** The same echo, by the service `desk`. */
export const SERVICE_ECHO = 90;

export const SHOP = 'shop';
export const OUTSIDE = 'outside';

/** Who is there, and where. */
export interface Stage {
  readonly mesh: MeshCluster;
  /** Callers, on the first node. */
  readonly till: Home;
  readonly guest: Home;
  /** Served by `till`'s own node. */
  readonly nook: Home;
  /** On the second node. Its kubelet asks it by HTTP, TCP and a command, each second. */
  readonly desk: Home;
  /** On the first node, in a namespace that nobody labels. */
  readonly stranger: Home;
  /** The address of the service in front of `desk`. */
  readonly service: string;
  /** What sees the wire between the nodes, by node. */
  readonly wires: ReadonlyMap<string, Home>;
}

/** Everything but the label. */
export async function setStage(mesh: MeshCluster): Promise<Stage> {
  await mesh.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects() }));
  const ready = ['--for=condition=Ready', 'pod', '--all', '--timeout=60s'];
  for (const namespace of [SHOP, OUTSIDE])
    await mesh.kubectl.must(['wait', '-n', namespace, ...ready]);
  const [till, guest, nook, desk] = await mesh.homes(SHOP, 'till', 'guest', 'nook', 'desk');
  const [stranger, ...wires] = await mesh.homes(
    OUTSIDE,
    'stranger',
    ...NODES.map((node) => `wire-${node}`),
  );
  const service = await mesh.serviceAddress(SHOP, 'desk');
  if (!till || !guest || !nook || !desk || !stranger) throw new Error('unreachable');
  return {
    mesh,
    till,
    guest,
    nook,
    desk,
    stranger,
    service,
    wires: new Map(wires.map((wire) => [wire.node, wire])),
  };
}

/** Labels the namespace, and waits until everybody knows. */
export async function enrolShop({ mesh }: Pick<Stage, 'mesh'>): Promise<void> {
  await mesh.kubectl.must(['label', 'namespace', SHOP, '--overwrite', `${MODE}=ambient`]);
  await untilEnrolled(mesh);
}

export async function untilEnrolled(mesh: MeshCluster): Promise<void> {
  const everybody = ['till', 'guest', 'nook', 'desk'];
  await mesh.untilRedirected(SHOP, everybody, 'enabled');
  await mesh.untilTunneled(SHOP, ...everybody);
}

export function identityOf(name: string): string {
  return `spiffe://cluster.local/ns/${SHOP}/sa/${name}`;
}

/** A pod of its own identity with an echo. */
export function echoPod(name: string, nodeName: string, how: EchoOptions = {}): Pod {
  const { namespace = SHOP, readiness = false, probed = false } = how;
  const often = { periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1 };
  const http = { ...often, httpGet: { port: HTTP, path: '/ready' } };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      nodeName,
      serviceAccountName: name,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'echo',
          image: 'ambit/echo',
          ...(readiness || probed ? { readinessProbe: http } : {}),
          // One that fails is seen: in restarts.
          ...(probed
            ? {
                startupProbe: { ...often, failureThreshold: 60, tcpSocket: { port: ECHO } },
                livenessProbe: { ...often, tcpSocket: { port: ECHO } },
              }
            : {}),
        },
        ...(probed ? [side] : []),
      ],
    },
  };
}

/** A file with a letter for each time a command was run to see whether all is well. */
export const PROBED = '/tmp/probed';

const side = {
  name: 'side',
  image: 'ambit/curl',
  readinessProbe: {
    periodSeconds: 1,
    timeoutSeconds: 20,
    failureThreshold: 1,
    exec: { command: ['sh', '-c', `printf x >> ${PROBED}`] },
  },
};

export interface EchoOptions {
  readonly namespace?: string;
  /** Is ready when it answers HTTP, not before. */
  readonly readiness?: boolean;
  /** Is asked by HTTP and TCP each second, and ended when it fails once. */
  readonly probed?: boolean;
}

/** A service in front of the pods of this name. */
export function echoService(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: SHOP },
    spec: {
      selector: { app: name },
      ports: [
        { name: 'echo', port: SERVICE_ECHO, targetPort: ECHO },
        { name: 'http', port: 80, targetPort: HTTP },
      ],
    },
  };
}

export function account(name: string, namespace: string = SHOP): object {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } };
}

function objects(): readonly object[] {
  const [near, far] = NODES;
  const pods = [
    ['till', near],
    ['guest', near],
    ['nook', near],
    ['desk', far],
  ] as const;
  return [
    ...[SHOP, OUTSIDE].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ...pods.flatMap(([name, node]) => [
      account(name),
      echoPod(name, node, { probed: name === 'desk' }),
    ]),
    account('stranger', OUTSIDE),
    echoPod('stranger', near, { namespace: OUTSIDE }),
    ...NODES.map((node) => wirePod(node, OUTSIDE)),
    echoService('desk'),
  ];
}
