import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { startCertificateAuthority } from '#tests/bed/certificate-authority.ts';
import { CLUSTER_ID, identityOf } from '#tests/bed/mesh-configuration.ts';
import { startNodeAuthority } from '#tests/bed/node-authority.ts';
import { program, type Running } from '#tests/bed/process.ts';
import type { NodeSpec, Pod } from '#tests/bed/world.ts';

import { waypointComparison } from '../figures.ts';
import type { Path } from '../measure.ts';
import { startTunnels } from '../node-tunnels.ts';
import { DIRECT, LOGGED } from '../statistics.ts';
import { type BenchWorld, STREAM_PORT, WEB_PORT } from '../world.ts';
import { renderEnvoyConfig } from './envoy-config.ts';
import { findEnvoy } from './envoy-program.ts';
import { hostnameOf, type MeshOfWaypoint, type MeshPod } from './resources.ts';

const SERVICE = { name: 'app', ip: '10.96.0.1', port: 80 };
const CONTROL_PLANE_PORT = 15_010;
const TUNNEL_PORT = 15_008;
const DAY_SECONDS = 86_400;
/** Both have as many threads that move bytes. */
const WORKER_THREADS = 2;
const START_DEADLINE_MS = 60_000;
const GATE = 'gate';
/** The pod between client and server. */
export const GATE_NODE: NodeSpec = { name: 'node-c', pods: [{ name: GATE }] };

/**
 * Starts two node tunnels, and what the column has in the waypoint's place: nothing, when the tunnels join client and
 * server directly. They end with the world.
 */
export async function startWaypointPath(bench: BenchWorld, column: string): Promise<Path> {
  const gate = bench.world.pod(GATE);
  const mesh = meshOf(bench, gate);
  // A waypoint opens and takes tunnels itself: it is in no node tunnel's hands.
  const others = await startTunnels(bench, {
    pods: [bench.client, bench.server],
    services: JSON.stringify([
      {
        name: SERVICE.name,
        namespace: bench.server.namespace,
        hostname: hostnameOf(mesh, SERVICE.name),
        vips: [`/${SERVICE.ip}`],
        ports: { [SERVICE.port]: WEB_PORT },
        waypoint: { destination: `/${gate.ipv4}`, hboneMtlsPort: TUNNEL_PORT },
      },
    ]),
  });
  const through = { address: SERVICE.ip, webPort: SERVICE.port, streamPort: STREAM_PORT, others };
  if (column === DIRECT) {
    return { ...through, address: bench.server.ipv4, webPort: WEB_PORT, pids: [] };
  }
  if (column === waypointComparison.baseline) {
    return { ...through, pids: [await startEnvoy(bench, mesh)] };
  }
  const env = column === LOGGED ? {} : { LOG_LEVEL: 'info,access=warn' };
  return { ...through, ...(await startWaypoint(bench, mesh, env)) };
}

async function startEnvoy(
  { world, client, server }: BenchWorld,
  mesh: MeshOfWaypoint,
): Promise<number> {
  const envoy = await findEnvoy();
  const gate = world.pod(GATE);
  const directory = join(world.directory, 'envoy');
  mkdirSync(directory);
  const file = (name: string): string => join(directory, name);
  // The same authority that the node tunnels and our waypoint have theirs from.
  await using authority = await startCertificateAuthority({
    directory: join(world.directory, 'authority'),
    listen: '127.0.0.1:0',
  });
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = authority.issue(identityOf(gate), publicKey, DAY_SECONDS);
  writeFileSync(file('root.pem'), authority.rootPem);
  writeFileSync(file('chain.pem'), certificate);
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  writeFileSync(file('key.pem'), pem, { mode: 0o600 });
  const config = renderEnvoyConfig({
    service: { ip: mesh.service.ip, port: mesh.service.port },
    endpoint: { ip: server.ipv4, port: WEB_PORT, identity: identityOf(server) },
    client: identityOf(client),
    files: { certificate: file('chain.pem'), key: file('key.pem'), authority: file('root.pem') },
  });
  writeFileSync(file('envoy.json'), config);
  const options = ['--concurrency', String(WORKER_THREADS), '--log-level', 'warn'];
  const alone = ['--disable-hot-restart', '--config-path', file('envoy.json')];
  return world.start(gate, [envoy, ...options, ...alone]).pid;
}

async function startWaypoint(
  { world }: BenchWorld,
  mesh: MeshOfWaypoint,
  settings: Readonly<Record<string, string>>,
): Promise<Pick<Path, 'pids' | 'rules'>> {
  const gate = world.pod(GATE);
  const file = (name: string): string => join(world.directory, name);
  writeFileSync(file('waypoint.json'), JSON.stringify(mesh));
  writeFileSync(file('token'), 'token-of-the-bench');
  const plan = [file('waypoint.json'), file('xds-root.pem'), String(CONTROL_PLANE_PORT)];
  const control = world.start(gate, program('bench/waypoint/control-plane.ts', ...plan));
  await control.waitFor(/^ready$/, START_DEADLINE_MS);
  const { authority, authorityRoot } = await startNodeAuthority(world, gate);
  // Its lines go to a file, as those of a container do.
  const command = ['sh', '-c', 'exec "$@" >"$0" 2>&1', file('waypoint.log')];
  const waypoint = world.start(gate, [...command, ...program('waypoint/main.ts')], {
    env: {
      POD_NAME: gate.name,
      POD_NAMESPACE: gate.namespace,
      SERVICE_ACCOUNT: gate.serviceAccount,
      INSTANCE_IP: gate.ipv4,
      NODE_NAME: gate.node.name,
      XDS_ADDRESS: `https://localhost:${CONTROL_PLANE_PORT}`,
      XDS_ROOT_CA: file('xds-root.pem'),
      CA_ADDRESS: authority,
      CA_ROOT_CA: authorityRoot,
      AUTH_TOKEN: file('token'),
      ISTIO_META_CLUSTER_ID: CLUSTER_ID,
      WAYPOINT_WORKER_THREADS: String(WORKER_THREADS),
      ...settings,
    },
  });
  return { pids: [waypoint.pid], rules: async (count) => setRules(control, count) };
}

async function setRules(control: Running, count: number): Promise<void> {
  const heard = control.lines.length;
  control.tell(`rules ${count}`);
  const answer = new RegExp(`^(ready ${count}|refused .*)$`);
  const said = await control.waitFor(answer, START_DEADLINE_MS, heard);
  if (said.startsWith('refused'))
    throw new Error(`The waypoint does not take ${count} rules: ${said}`);
}

function meshOf({ client, server }: BenchWorld, gate: Pod): MeshOfWaypoint {
  const service = { ...SERVICE, targetPort: WEB_PORT };
  return { client: meshPod(client), gate: meshPod(gate), server: meshPod(server), service };
}

function meshPod({ name, namespace, serviceAccount, ipv4, node }: Pod): MeshPod {
  return { name, namespace, serviceAccount, ip: ipv4, node: node.name };
}
