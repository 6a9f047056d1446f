import { writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import type { Pod } from '#tests/bed/world.ts';

import type { Path } from './measure.ts';
import { type BenchWorld, STREAM_PORT, WEB_PORT } from './world.ts';

// As many as haproxy has threads.
const WORKER_THREADS = 2;

/**
 * Starts one node tunnel per side and puts both pods into their hands: the client connects to the server's own
 * address. Without a command they are this project's. They end with the world.
 */
export async function startNodeTunnels(
  bench: BenchWorld,
  command?: readonly string[],
): Promise<Path> {
  const { world, server } = bench;
  const pids = await startTunnels(bench, { pods: world.pods, command });
  return { pids, address: server.ipv4, webPort: WEB_PORT, streamPort: STREAM_PORT };
}

interface Wanted {
  /** Whose traffic goes through them. */
  readonly pods: readonly Pod[];
  /** As a local configuration has them. */
  readonly services?: string;
  readonly command?: readonly string[] | undefined;
}

/** One node tunnel for each node that has such a pod; their pids. */
export async function startTunnels(
  { world }: BenchWorld,
  { pods, services = '[]', command }: Wanted,
): Promise<readonly number[]> {
  const configuration = writeMeshConfiguration(world, { services });
  const pids: number[] = [];
  for (const node of new Set(pods.map((pod) => pod.node))) {
    const tunnel = await NodeTunnel.start(world, node, {
      configuration,
      ...(await startNodeAuthority(world, node)),
      ...(command === undefined ? {} : { command }),
      env: { ZTUNNEL_WORKER_THREADS: String(WORKER_THREADS) },
    });
    pids.push(tunnel.process.pid);
  }
  for (const pod of pods) await world.enrol(pod);
  return pids;
}
