import { NODE_PROGRAM, PROJECT } from '#playground/node/node-root.ts';
import { program } from '#tests/bed/process.ts';

import { Caller } from '../support/caller.ts';
import { type MeshCluster, MODE, NODES } from '../support/mesh-cluster.ts';
import { wirePod } from '../support/wire-pod.ts';

export const SHOP = 'shop';
export const OUTSIDE = 'outside';
export const WAYPOINT = 'waypoint';
/** Of what belongs to the waypoint. */
export const SELECTOR: string = `gateway.networking.k8s.io/gateway-name=${WAYPOINT}`;

/** A namespace behind a waypoint: `till` and `guest` call `peer`, which has pods of two versions. */
export interface Stage {
  readonly mesh: MeshCluster;
  readonly till: Caller;
  readonly guest: Caller;
}

const EVERY_PROTOCOL = `${PROJECT}/tests/bed/programs/every-protocol.ts`;

/** Each on a node of its own: what is said to one of them, or by it, crosses the wire. */
function peerPod(version: string, nodeName: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `peer-${version}`, labels: { app: 'peer', version } },
    spec: {
      nodeName,
      serviceAccountName: 'peer',
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'peer',
          image: 'ambit/curl',
          command: [NODE_PROGRAM, EVERY_PROTOCOL, version],
          readinessProbe: { periodSeconds: 1, httpGet: { port: 8080, path: '/ready' } },
        },
      ],
    },
  };
}

/** A service of the pods of one version. */
export function peerService(name: string, version: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: SHOP },
    spec: {
      selector: { app: 'peer', version },
      ports: [
        { name: 'http', port: 80, targetPort: 8080 },
        { name: 'two', port: 81, targetPort: 8081, appProtocol: 'kubernetes.io/h2c' },
        { name: 'grpc', port: 82, targetPort: 8082 },
        { name: 'any', port: 83, targetPort: 8080 },
        { name: 'data', port: 90, targetPort: 9000, appProtocol: 'tcp' },
        { name: 'tcp-greeting', port: 91, targetPort: 9001 },
      ],
    },
  };
}

function callerPod(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName: NODES[0],
      serviceAccountName: name,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'caller', image: 'ambit/curl' }],
    },
  };
}

export async function setStage(mesh: MeshCluster): Promise<Stage> {
  const { kubectl } = mesh;
  for (const name of [SHOP, OUTSIDE]) await kubectl.must(['create', 'namespace', name]);
  await kubectl.must(['label', 'namespace', SHOP, `${MODE}=ambient`]);
  const accounts = ['till', 'guest', 'peer'].map((name) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name },
  }));
  const items = [
    ...accounts,
    peerPod('v1', NODES[1]),
    peerPod('v2', NODES[0]),
    peerService('peer', 'v1'),
    peerService('peer-v2', 'v2'),
    callerPod('till'),
    callerPod('guest'),
  ];
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await kubectl.must(['apply', '-n', SHOP, '-f', '-'], list);
  const wires = NODES.map((node) => wirePod(node, OUTSIDE));
  await mesh.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: wires }));
  const apply = ['waypoint', 'apply', '-n', SHOP, '--enroll-namespace', '--wait'];
  const applied = await kubectl.around(program('cli/main.ts', ...apply));
  if (applied.code !== 0) throw new Error(applied.stderr);
  const ready = ['--for=condition=Ready', 'pod', '--all', '--timeout=60s'];
  for (const name of [SHOP, OUTSIDE]) await kubectl.must(['wait', '-n', name, ...ready]);
  const [till, guest] = await Promise.all([
    Caller.in(kubectl, SHOP, 'till'),
    Caller.in(kubectl, SHOP, 'guest'),
  ]);
  const stage = { mesh, till, guest };
  await untilBehindWaypoint(stage, true);
  return stage;
}

export async function leaveStage({ mesh, till, guest }: Stage): Promise<void> {
  await till[Symbol.asyncDispose]();
  await guest[Symbol.asyncDispose]();
  await mesh[Symbol.asyncDispose]();
}

/** The node tunnels hear of a change a moment later. */
export async function untilBehindWaypoint({ mesh, till }: Stage, behind: boolean): Promise<void> {
  await mesh.until(`requests go ${behind ? 'through' : 'around'} the waypoint`, async () => {
    // Only a waypoint adds it.
    const asked = await till.curl('http://peer/asked');
    return asked.includes('x-request-id') === behind;
  });
}

/** The access log of the waypoint as it is now. */
export async function waypointLog({ mesh }: Stage): Promise<readonly string[]> {
  const text = await mesh.kubectl.must(['logs', '-n', SHOP, `deployment/${WAYPOINT}`]);
  return text.split('\n');
}

/** Waits for a line that has all of these pieces. */
export async function untilLogged(stage: Stage, ...pieces: readonly string[]): Promise<void> {
  await stage.mesh.until(`the waypoint logs ${pieces.join(' ')}`, async () =>
    (await waypointLog(stage)).some((line) => pieces.every((piece) => line.includes(piece))),
  );
}
