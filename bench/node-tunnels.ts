import { writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';

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
  const configuration = writeMeshConfiguration(world);
  const pids: number[] = [];
  for (const node of world.nodes) {
    const tunnel = await NodeTunnel.start(world, node, {
      configuration,
      ...(await startNodeAuthority(world, node)),
      ...(command === undefined ? {} : { command }),
      env: { ZTUNNEL_WORKER_THREADS: String(WORKER_THREADS) },
    });
    pids.push(tunnel.process.pid);
  }
  for (const pod of world.pods) await world.enrol(pod);
  return { pids, address: server.ipv4, webPort: WEB_PORT, streamPort: STREAM_PORT };
}
