import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { copyKubeconfig, kubeconfigProblem } from '../kubeconfig-file.ts';
import { playgroundCommand, stateDirectory } from '../playground.ts';
import { endCluster } from './down.ts';

export const upUsage: string = `Usage: ambit up [options]

Starts a cluster on this machine and keeps it until Ctrl-C. Several with different names can run side by side. Prints
the line that tells kubectl where it is; everything else goes to the standard error.

  --name NAME             of the cluster (default: ambit)
  --nodes N               how many nodes (default: 2)
  --detach                comes back when the cluster is ready; "ambit down" ends it
  --kubeconfig FILE       writes the administrator's kubeconfig there too
  --port N                of the API server, on 127.0.0.1 (default: a free one)
  --image NAME=PROGRAM    pods with the image NAME run PROGRAM of this machine with their arguments; repeatable
  --images FILE           such lines from a file

Its files are in ${stateDirectory()}/NAME as long as it runs. Needs root, or user namespaces.
`;

interface UpOptions {
  readonly name: string;
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
  const { name, detach, kubeconfig } = options;
  const problem = kubeconfig === undefined ? undefined : kubeconfigProblem(kubeconfig, name);
  if (problem !== undefined) {
    say(`Cannot use --kubeconfig ${JSON.stringify(kubeconfig)}: ${problem}`);
    return 1;
  }
  say(`Starting the cluster ${JSON.stringify(name)} …`);
  const child = startPlayground(options);
  const ended = exitOf(child);
  const stop = stopOnSignal(child, name);
  const ready = await firstLine(child, /^ready (\S+) (.+)$/);
  if (ready === undefined) return (await ended) || 1;
  const [, url = '', own = ''] = ready;
  const file = kubeconfig ?? own;
  try {
    if (kubeconfig !== undefined) copyKubeconfig(own, kubeconfig);
  } catch (error) {
    say(`Cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
    await endCluster(name, 'ignore');
    return 1;
  }
  say(`It is ready: ${url}`);
  process.stdout.write(`export KUBECONFIG=${quote(resolve(file))}\n`);
  if (detach) {
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.unref();
    stop.forget();
    return 0;
  }
  say('Ctrl-C ends it.');
  const code = await ended;
  if (kubeconfig !== undefined) rmSync(kubeconfig, { force: true });
  if (!stop.asked()) say(`The cluster ${JSON.stringify(name)} has ended.`);
  // What a cluster that was killed has left.
  await endCluster(name, 'ignore');
  return stop.asked() ? 0 : code;
}

function readOptions(args: readonly string[]): UpOptions | string {
  const text = { type: 'string' } as const;
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
        detach: { type: 'boolean', default: false },
      },
    });
    const { name = 'ambit', nodes, port, images, image = [], detach, kubeconfig } = values;
    const passed = [
      '--name',
      name,
      ...(nodes === undefined ? [] : ['--nodes', nodes]),
      ...(port === undefined ? [] : ['--port', port]),
      ...(images === undefined ? [] : ['--images', images]),
      ...image.flatMap((each) => ['--image', each]),
      ...(detach ? ['--detached'] : []),
    ];
    return { name, detach, kubeconfig, passed };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** In a session of its own: the terminal's Ctrl-C comes to us alone. It ends when its input does, unless it is detached. */
function startPlayground({ detach, passed }: UpOptions): ChildProcess {
  const [program = '', ...first] = playgroundCommand();
  const child = spawn(program, [...first, ...passed], {
    stdio: [detach ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  child.stdin?.on('error', () => undefined);
  child.stderr?.on('data', (chunk: Buffer) => process.stderr.write(chunk));
  return child;
}

interface Stop {
  readonly asked: () => boolean;
  readonly forget: () => void;
}

/** The first signal asks the cluster to end, the second does not ask. */
function stopOnSignal(child: ChildProcess, name: string): Stop {
  let asked = 0;
  const stop = (): void => {
    asked += 1;
    if (asked === 1) {
      say('Ending …');
      if (child.stdin === null) void endCluster(name, 'ignore');
      else child.stdin.end();
    } else child.kill('SIGKILL');
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  const forget = (): void => {
    for (const signal of signals) process.off(signal, stop);
  };
  return { asked: () => asked > 0, forget };
}

/** The first line that matches; undefined when there will be none. */
async function firstLine(
  child: ChildProcess,
  pattern: RegExp,
): Promise<RegExpExecArray | undefined> {
  const { promise, resolve: found } = Promise.withResolvers<RegExpExecArray | undefined>();
  if (child.stdout === null) return undefined;
  createInterface({ input: child.stdout })
    .on('line', (line) => {
      const match = pattern.exec(line);
      if (match !== null) found(match);
    })
    .on('close', () => found(undefined));
  return promise;
}

async function exitOf(child: ChildProcess): Promise<number> {
  const { promise, resolve: ended, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('exit', (code) => ended(code ?? 1));
  return promise;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function quote(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
