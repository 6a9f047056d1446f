import { readFileSync } from 'node:fs';
import { constants as system } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { KubeClient } from '#kube/client.ts';
import { kubeconfigCredentials } from '#kube/config.ts';

import { ClusterProcess, runTask } from '../cluster-process.ts';
import { copyKubeconfig, kubeconfigProblem, removeKubeconfig } from '../kubeconfig-file.ts';
import { createObjects } from '../mesh/install.ts';
import { readManifests } from '../mesh/manifests.ts';
import { type Progress, workloadsOf } from '../mesh/rollout.ts';
import { untilReady } from '../mesh/wait.ts';
import { stateDirectory } from '../playground.ts';
import { ProgressDisplay } from '../progress-display.ts';

export const upUsage: string = `Usage: ambit up [options]

Starts a cluster on this machine, with the mesh of manifests/ in it, and keeps it until Ctrl-C. Several with different
names can run side by side. Prints the line that tells kubectl where it is; everything else goes to the standard error.

  --name NAME             of the cluster (default: ambit)
  --nodes N               how many nodes, 1 to 64 (default: 2)
  --bare                  without the mesh
  --detach                comes back when everything is ready; "ambit down" ends it
  --kubeconfig FILE       writes the administrator's kubeconfig there too
  --port N                of the API server, on 127.0.0.1 (default: a free one)
  --image NAME=PROGRAM    pods with the image NAME run PROGRAM of this machine with their arguments; repeatable
  --images FILE           such lines from a file

Its files are in ${stateDirectory()}/NAME as long as it runs. Needs root, or user namespaces.
`;

interface UpOptions {
  readonly name: string;
  readonly nodes: string;
  readonly bare: boolean;
  readonly detach: boolean;
  readonly kubeconfig: string | undefined;
  /** For the program that runs the cluster. */
  readonly passed: readonly string[];
}

/** `ambit up`: answers the exit code. */
export async function up(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (typeof options === 'string') {
    say(`${options}\n\n${upUsage.trimEnd()}`);
    return 1;
  }
  const { name, kubeconfig } = options;
  const problem = kubeconfig === undefined ? undefined : kubeconfigProblem(kubeconfig, name);
  if (problem !== undefined) {
    say(`Cannot use --kubeconfig ${JSON.stringify(kubeconfig)}: ${problem}`);
    return 1;
  }
  say(`Starting the cluster ${JSON.stringify(name)} …`);
  const cluster = new ClusterProcess(options.passed);
  const stop = new Stop(cluster);
  try {
    const started = await start(options, cluster, stop.signal);
    if (started === undefined) return await endedEarly(options, cluster, stop);
    if (options.detach && !stop.signal.aborted) {
      await cluster.stay();
      return 0;
    }
    return await untilEnd(options, cluster, stop);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    cluster.end();
    await cluster.ended;
    await runTask(name, '--sweep', 'ignore');
    return 1;
  } finally {
    stop.forget();
  }
}

/** Resolves when everything can be used; with undefined when it has ended before, or is to end. Throws what is wrong with it. */
async function start(
  { nodes, bare, kubeconfig }: UpOptions,
  cluster: ClusterProcess,
  stopped: AbortSignal,
): Promise<'started' | undefined> {
  const display = new ProgressDisplay(process.stderr);
  display.awaits('API server');
  const serving = await cluster.line(/^serving (\S+) (.+)$/);
  display.awaits('');
  if (serving === undefined || stopped.aborted) return undefined;
  display.done('API server');
  const [, url = '', own = ''] = serving;
  using client = new KubeClient(kubeconfigCredentials(readFileSync(own, 'utf8')));
  // A cluster that ends does not answer any more.
  const ends = new AbortController();
  void cluster.ended.finally(() => ends.abort());
  const objects = bare ? [] : readManifests();
  const wanted = { nodes: Number(nodes), workloads: workloadsOf(objects) };
  const told = new Set<string>();
  const tell = (progress: readonly Progress[]): void => {
    const [done, open] = [true, false].map((is) =>
      progress.filter(({ ready, wanted: all }) => ready >= all === is),
    );
    for (const each of done ?? []) {
      if (!told.has(each.name)) display.done(textOf(each));
      told.add(each.name);
    }
    display.awaits((open ?? []).map(textOf).join(', '));
  };
  const ready = Promise.all([
    createObjects(client, objects),
    untilReady(client, wanted, tell, AbortSignal.any([stopped, ends.signal])),
    cluster.line(/^ready$/),
  ]);
  const over = Promise.withResolvers<undefined>();
  for (const signal of [stopped, ends.signal]) {
    signal.addEventListener('abort', () => over.resolve(undefined), { once: true });
  }
  try {
    const isReady = (await Promise.race([ready, over.promise])) !== undefined;
    if (!isReady || stopped.aborted || ends.signal.aborted) return undefined;
  } finally {
    display.awaits('');
    // When we do not wait for it any more.
    ready.catch(() => undefined);
  }
  if (kubeconfig !== undefined) copyKubeconfig(own, kubeconfig);
  say(`It is ready: ${url}`);
  process.stdout.write(`export KUBECONFIG=${quote(resolve(kubeconfig ?? own))}\n`);
  return 'started';
}

/** What it has said itself needs no more words. */
const SAID_WHY = 1;

async function endedEarly(
  { name }: UpOptions,
  cluster: ClusterProcess,
  stop: Stop,
): Promise<number> {
  const { code, signal } = await cluster.ended;
  if (stop.code !== undefined) {
    await runTask(name, '--sweep', 'ignore');
    return stop.code;
  }
  if (code === SAID_WHY) return 1;
  const how = signal ?? `exit code ${code}`;
  say(`The cluster ${JSON.stringify(name)} has ended before it was ready (${how}).`);
  await runTask(name, '--sweep', 'ignore');
  return 1;
}

async function untilEnd(
  { name, kubeconfig }: UpOptions,
  cluster: ClusterProcess,
  stop: Stop,
): Promise<number> {
  if (stop.code === undefined) say('Ctrl-C ends it.');
  const { code } = await cluster.ended;
  if (kubeconfig !== undefined) removeKubeconfig(kubeconfig, name);
  if (stop.code === undefined) say(`The cluster ${JSON.stringify(name)} has ended.`);
  // What a cluster that was killed has left.
  await runTask(name, '--sweep', 'ignore');
  return stop.code === undefined ? (code ?? 1) : 0;
}

function readOptions(args: readonly string[]): UpOptions | string {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        name: text,
        nodes: text,
        port: text,
        kubeconfig: text,
        images: text,
        image: { type: 'string', multiple: true },
        bare: flag,
        detach: flag,
      },
    });
    const { name = 'ambit', nodes = '2', port, images, image = [] } = values;
    const { bare, detach, kubeconfig } = values;
    const passed = [
      '--name',
      name,
      '--nodes',
      nodes,
      ...(port === undefined ? [] : ['--port', port]),
      ...(images === undefined ? [] : ['--images', images]),
      ...image.flatMap((each) => ['--image', each]),
    ];
    return { name, nodes, bare, detach, kubeconfig, passed };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The first signal asks the cluster to end, the second does not ask. */
class Stop {
  readonly #abort = new AbortController();
  readonly #cluster: ClusterProcess;
  readonly #signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  readonly #onSignal = (name: NodeJS.Signals): void => this.#stop(name);
  /** What a program answers that a signal has ended; undefined: there was none. */
  code: number | undefined;

  constructor(cluster: ClusterProcess) {
    this.#cluster = cluster;
    for (const name of this.#signals) process.on(name, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  forget(): void {
    for (const name of this.#signals) process.off(name, this.#onSignal);
  }

  #stop(name: NodeJS.Signals): void {
    if (this.code === undefined) {
      this.code = 128 + system.signals[name];
      this.#abort.abort();
      say('Ending …');
      this.#cluster.end();
    } else this.#cluster.kill();
  }
}

function textOf({ name, ready, wanted }: Progress): string {
  return `${name} ${ready}/${wanted}`;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function quote(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
