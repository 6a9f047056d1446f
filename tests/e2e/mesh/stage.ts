import { type Home, type MeshCluster, MODE, NODES } from '../support/mesh-cluster.ts';

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
  const address = ['get', 'service', '-n', SHOP, 'desk', '-o', 'jsonpath={.spec.clusterIP}'];
  const service = await mesh.kubectl.must(address);
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
export function echoPod(name: string, nodeName: string, namespace: string = SHOP): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      nodeName,
      serviceAccountName: name,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'echo', image: 'ambit/echo', ...(name === 'desk' ? probes() : {}) }],
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
    ...pods.flatMap(([name, node]) => [account(name), echoPod(name, node)]),
    account('stranger', OUTSIDE),
    echoPod('stranger', near, OUTSIDE),
    ...NODES.map((node) => wirePod(node)),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'desk', namespace: SHOP },
      spec: {
        selector: { app: 'desk' },
        ports: [
          { name: 'echo', port: SERVICE_ECHO, targetPort: ECHO },
          { name: 'http', port: 80, targetPort: HTTP },
        ],
      },
    },
  ];
}

/** On the node's own network. */
function wirePod(nodeName: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `wire-${nodeName}`, namespace: OUTSIDE },
    spec: {
      nodeName,
      hostNetwork: true,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'wire', image: 'ambit/curl' }],
    },
  };
}

/** One that fails once is seen: in restarts, or in readiness. */
function probes(): object {
  const often = { periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1 };
  return {
    startupProbe: { ...often, failureThreshold: 60, tcpSocket: { port: ECHO } },
    readinessProbe: { ...often, httpGet: { port: HTTP, path: '/ready' } },
    livenessProbe: { ...often, tcpSocket: { port: ECHO } },
  };
}
