import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { LogLevels, parseLogFilter } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import { localAddress } from '#linux/socket.ts';

import { Cluster, findCgroups } from './cluster.ts';
import type { Inside, PlaygroundConfig } from './config.ts';
import { planNetwork } from './network.ts';
import { StateDirectory } from './state-directory.ts';

/**
 * Runs a cluster inside its namespaces until it is told to end. Prints a line with `serving`, the URL of the API server and
 * the path of the kubeconfig when both can be used, and one with `ready` when the nodes are.
 */
export async function runCluster(config: PlaygroundConfig, inside: Inside): Promise<void> {
  const state = new StateDirectory(config.stateDirectory);
  const writer = new LineWriter(
    openSync(join(state.directory('log'), 'playground.log'), 'a', 0o600),
    (lines) => `${lines} lines of the log are missing`,
  );
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const cgroups = findCgroups(mounts, `ambit-${config.name}-${inside.outsidePid}`);
  state.record({
    pid: inside.outsidePid,
    startTime: processStart(),
    ...(cgroups === undefined ? {} : { cgroups }),
  });
  const url = `https://127.0.0.1:${localAddress(inside.listener)?.port ?? 0}`;
  const cluster = new Cluster({
    name: config.name,
    network: planNetwork(Array.from({ length: config.nodes }, (_, i) => `node-${i + 1}`)),
    state,
    images: config.images,
    listen: { descriptor: inside.listener, url },
    project: fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, ''),
    userNamespace: !/^\s*0\s+0\s+4294967295/.test(readFileSync('/proc/self/uid_map', 'utf8')),
    cgroups,
    log: logger(writer),
  });
  const end = Promise.withResolvers<void>();
  const stop = (): void => end.resolve();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
  untilToldToStay(stop);
  // Nobody may be listening any more.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  let kept: 'nothing' | 'logs' = 'logs';
  try {
    const start = async (): Promise<void> => {
      await cluster.serve();
      process.stdout.write(`serving ${url} ${state.file('kubeconfig')}\n`);
      await cluster.startNodes();
      process.stdout.write('ready\n');
    };
    await Promise.race([start(), end.promise, cluster.lost]);
    await Promise.race([end.promise, cluster.lost]);
    kept = 'nothing';
  } finally {
    await cluster.stop();
    await writer.flush();
    state.clean(kept);
  }
}

/** Who started us holds the other end of our input: when they have gone we go, unless they have said otherwise. */
function untilToldToStay(stop: () => void): void {
  let stays = false;
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => {
    if (line === 'stay') stays = true;
  });
  const gone = (): void => {
    if (!stays) stop();
  };
  process.stdin.on('error', gone);
  input.on('close', gone);
}

/** The same in all process namespaces: it counts from the machine's start. The first process of ours was started by the same. */
function processStart(): string {
  const stat = readFileSync('/proc/1/stat', 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function logger(sink: LineWriter): Logger {
  const filter = parseLogFilter('info');
  if (filter.kind === 'refused') throw new Error(filter.problem);
  const levels = new LogLevels(filter.filter);
  return new Logger({ levels, format: 'text', sink, now: () => Date.now() }, 'playground');
}
