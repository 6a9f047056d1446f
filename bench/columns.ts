import { startHaproxies } from './haproxy.ts';
import { type Measured, measure, type Path } from './measure.ts';
import { startNodeTunnels } from './node-tunnels.ts';
import type { BenchOptions } from './options.ts';
import { BASELINE, DIRECT } from './statistics.ts';
import { type BenchWorld, createBenchWorld, STREAM_PORT, WEB_PATH, WEB_PORT } from './world.ts';

/** How long proxies may take until a request passes. */
const READY_DEADLINE_SECONDS = 20;

/** Builds a fresh world, starts the column's proxies in it, measures, and removes everything. */
export async function measureColumn(name: string, options: BenchOptions): Promise<Measured> {
  const bench = await createBenchWorld();
  try {
    const path = await startProxies(name, bench, options);
    await untilAnswered(bench, path);
    return await measure(bench, path, options);
  } finally {
    await bench.world.dispose();
  }
}

async function startProxies(name: string, bench: BenchWorld, options: BenchOptions): Promise<Path> {
  if (name === DIRECT) {
    return { pids: [], address: bench.server.ipv4, webPort: WEB_PORT, streamPort: STREAM_PORT };
  }
  if (name === BASELINE) return startHaproxies(bench);
  return startNodeTunnels(bench, options.peers.find((peer) => peer.name === name)?.command);
}

/** One request through everything, tried again until it is answered. */
async function untilAnswered(bench: BenchWorld, path: Path): Promise<void> {
  const url = `http://${path.address}:${path.webPort}${WEB_PATH}`;
  const patience = `--retry ${READY_DEADLINE_SECONDS * 5} --retry-delay 0 --retry-max-time ${READY_DEADLINE_SECONDS} --retry-all-errors`;
  const command = ['curl', '-sSf', '-o', '/dev/null', '-m', '2', ...patience.split(' '), url];
  const asked = await bench.world.run(bench.client, command);
  if (asked.code !== 0) throw new Error(`No answer from ${url}: ${asked.stderr.trim()}`);
}
