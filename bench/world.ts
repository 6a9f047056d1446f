import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { must } from '#tests/bed/process.ts';
import { createWorld, type NodeSpec, type Pod, type World } from '#tests/bed/world.ts';

/**
 * The path that is measured: two pods with one wire between them, the load in one, the servers in the
 * other. No node forwards these packets, so that routing costs nobody anything. A pod between them has a
 * wire to each of them.
 *
 *     client: wrk, iperf3 ─ proxy ═ wire-server ──── wire-client ═ proxy ─ nginx, iperf3: server
 */
export interface BenchWorld {
  readonly world: World;
  readonly client: Pod;
  readonly server: Pod;
}

export const WEB_PORT = 80;
export const STREAM_PORT = 5201;
export const WEB_PATH = '/1k';

const WEB_BYTES = 1024;
const PREFIX = 'ambit-bench';

/** Builds the pods and starts the servers. `more`: further nodes with pods. Dispose of `world` when done. */
export async function createBenchWorld(more: readonly NodeSpec[] = []): Promise<BenchWorld> {
  const world = await createWorld({
    prefix: PREFIX,
    nodes: [
      { name: 'node-a', pods: [{ name: 'client' }] },
      { name: 'node-b', pods: [{ name: 'server' }] },
      ...more,
    ],
  });
  try {
    const client = world.pod('client');
    const server = world.pod('server');
    for (const [index, one] of world.pods.entries()) {
      for (const other of world.pods.slice(index + 1)) await joinPods(one, other);
    }
    startServers(world, server);
    return { world, client, server };
  } catch (error) {
    await world.dispose();
    throw error;
  }
}

/** A wire of its own, preferred to the way through the nodes. At each end it is called after the other. */
async function joinPods(one: Pod, other: Pod): Promise<void> {
  const pair = `link add ${wireTo(other)} type veth peer name ${wireTo(one)}\n`;
  await must(['ip', '-batch', '-'], { netns: one.netns, input: pair });
  const namespace = basename(other.netns);
  await must(['ip', 'link', 'set', wireTo(one), 'netns', namespace], { netns: one.netns });
  for (const [pod, far] of [
    [one, other],
    [other, one],
  ] as const) {
    const device = wireTo(far);
    const input = `link set ${device} up\nroute add ${far.ipv4}/32 dev ${device} src ${pod.ipv4}\n`;
    await must(['ip', '-batch', '-'], { netns: pod.netns, input });
  }
}

function wireTo(pod: Pod): string {
  return `wire-${pod.name}`;
}

function startServers(world: World, server: Pod): void {
  const root = join(world.directory, 'www');
  mkdirSync(root);
  writeFileSync(join(root, WEB_PATH.slice(1)), 'x'.repeat(WEB_BYTES));
  const config = join(world.directory, 'nginx.conf');
  writeFileSync(config, renderNginxConfig(world.directory, root, server.ipv4));
  world.start(server, ['nginx', '-e', 'stderr', '-c', config]);
  world.start(server, ['iperf3', '--server', '--port', String(STREAM_PORT)]);
}

/** One process, one thread, everything in memory; in one process it never changes user, which a user namespace may refuse. */
function renderNginxConfig(directory: string, root: string, address: string): string {
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `user root root;
master_process off;
daemon off;
pid ${directory}/nginx.pid;
events { worker_connections 20000; }
http {
  access_log off;
  keepalive_requests 100000000;
${folders.map((name) => `  ${name}_temp_path ${directory}/nginx-${name};`).join('\n')}
  server { listen ${address}:${WEB_PORT} backlog=8192; root ${root}; }
}
`;
}
