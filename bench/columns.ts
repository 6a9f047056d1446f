import { tunnelComparison, waypointComparison } from './figures.ts';
import { startHaproxies } from './haproxy.ts';
import { type Measured, measure, type Path, wrkCommand } from './measure.ts';
import { startNodeTunnels } from './node-tunnels.ts';
import { type BenchOptions, comparisonOf } from './options.ts';
import { DIRECT } from './statistics.ts';
import { findEnvoy } from './waypoint/envoy-program.ts';
import { GATE_NODE, startWaypointPath } from './waypoint/path.ts';
import { type BenchWorld, createBenchWorld, STREAM_PORT, WEB_PATH, WEB_PORT } from './world.ts';

/** How long proxies may take until a request passes. */
const READY_DEADLINE_SECONDS = 20;

/** Gets what a run needs beyond what is installed already. @throws Error that says what is missing. */
export async function prepare({ subject, proxies }: BenchOptions): Promise<void> {
  if (subject === 'waypoint' && proxies.includes(waypointComparison.baseline)) await findEnvoy();
}

/** Builds a fresh world, starts the column's proxies in it, measures, and removes everything. */
export async function measureColumn(name: string, options: BenchOptions): Promise<Measured> {
  return await withColumn(name, options, async (bench, path) =>
    measure(bench, path, { ...options, warm: comparisonOf(options.subject).warm }),
  );
}

/** The same, but says how to load the column instead of measuring it, and stays until the process ends. */
export async function holdColumn(name: string, options: BenchOptions): Promise<never> {
  return await withColumn(name, options, async (bench, path) => {
    const load = wrkCommand(path, { seconds: options.seconds }).join(' ');
    console.log(`measured processes: ${path.pids.join(' ') || 'none'}`);
    console.log(`others on the path: ${path.others?.join(' ') ?? 'none'}`);
    console.log(`files: ${bench.world.directory}`);
    console.log(`load: nsenter --net=${bench.client.netns} -- ${load}`);
    return await new Promise<never>(() => undefined);
  });
}

async function withColumn<T>(
  name: string,
  options: BenchOptions,
  use: (bench: BenchWorld, path: Path) => Promise<T>,
): Promise<T> {
  const bench = await createBenchWorld(options.subject === 'waypoint' ? [GATE_NODE] : []);
  try {
    const path = await startProxies(name, bench, options);
    await untilAnswered(bench, path);
    return await use(bench, path);
  } finally {
    await bench.world.dispose();
  }
}

async function startProxies(name: string, bench: BenchWorld, options: BenchOptions): Promise<Path> {
  if (options.subject === 'waypoint') return startWaypointPath(bench, name);
  if (name === DIRECT) {
    return { pids: [], address: bench.server.ipv4, webPort: WEB_PORT, streamPort: STREAM_PORT };
  }
  if (name === tunnelComparison.baseline) return startHaproxies(bench);
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
