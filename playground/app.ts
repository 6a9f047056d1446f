import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
 * Runs a cluster inside its namespaces until it is told to end. Prints a line with `ready`, the URL of the API server and
 * the path of the kubeconfig when both can be used and the nodes are ready.
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
  // Who started us holds the other end.
  if (!config.detached) process.stdin.on('end', stop).on('error', stop).resume();
  // Nobody may be listening any more.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  let kept: 'nothing' | 'logs' = 'logs';
  try {
    const started = await Promise.race([cluster.start().then(() => true), end.promise]);
    if (started === true) process.stdout.write(`ready ${url} ${state.file('kubeconfig')}\n`);
    await end.promise;
    kept = 'nothing';
  } finally {
    await cluster.stop();
    await writer.flush();
    state.clean(kept);
  }
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
