import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  type CniConfigResult,
  type CniNetwork,
  type CniPlugin,
  type CniResult,
  chooseNetwork,
  pluginError,
  pluginInput,
} from './cni-config.ts';

/** The sandbox that a chain is run for. */
export interface CniSandbox {
  readonly containerId: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** `K8S_POD_NAMESPACE=…;K8S_POD_NAME=…;…` */
  readonly args: string;
}

export type CniOutcome =
  | { readonly kind: 'done'; readonly result: CniResult }
  | { readonly kind: 'failed'; readonly message: string };

/** A plugin that waits for the API server may retry for half a minute before it gives up. */
const PLUGIN_TIMEOUT_MS = 120_000;
/** A result is a few hundred bytes; an error may carry a stack. */
const OUTPUT_BYTES_MAX = 1 << 20;
const INTERFACE = 'eth0';

/** Runs the plugin chain of a node, as a container runtime does (CNI specification 1.0, sections 2 and 3). */
export class CniRunner {
  readonly #configDirectory: string;
  readonly #pluginDirectory: string;

  constructor(configDirectory: string, pluginDirectory: string) {
    this.#configDirectory = configDirectory;
    this.#pluginDirectory = pluginDirectory;
  }

  /** Read again for every pod: agents change the chain while pods come and go. */
  network(): CniConfigResult {
    const names = existsSync(this.#configDirectory) ? readdirSync(this.#configDirectory) : [];
    const files = names.flatMap((name) => {
      const path = join(this.#configDirectory, name);
      // A file that is being replaced may be gone between the two calls.
      return existsSync(path) ? [{ name, text: readFileSync(path, 'utf8') }] : [];
    });
    return chooseNetwork(files);
  }

  /** Runs every plugin with ADD, each with the result of the one before. The caller undoes a failure with {@link remove}. */
  async add(network: CniNetwork, sandbox: CniSandbox): Promise<CniOutcome> {
    let previous: CniResult | undefined;
    for (const plugin of network.plugins) {
      const outcome = await this.#run('ADD', network, plugin, sandbox, previous);
      if (outcome.kind === 'failed') return outcome;
      previous = outcome.result;
    }
    return { kind: 'done', result: previous ?? {} };
  }

  /** Asks every plugin whether what it made is still there. */
  async check(network: CniNetwork, sandbox: CniSandbox, result: CniResult): Promise<CniOutcome> {
    for (const plugin of network.plugins) {
      const outcome = await this.#run('CHECK', network, plugin, sandbox, result);
      if (outcome.kind === 'failed') return outcome;
    }
    return { kind: 'done', result };
  }

  /** Runs every plugin with DEL, the last one first. The first failure ends it: it is tried again later. */
  async remove(
    network: CniNetwork,
    sandbox: CniSandbox,
    result: CniResult | undefined,
  ): Promise<CniOutcome> {
    for (const plugin of network.plugins.toReversed()) {
      const outcome = await this.#run('DEL', network, plugin, sandbox, result);
      if (outcome.kind === 'failed') return outcome;
    }
    return { kind: 'done', result: result ?? {} };
  }

  async #run(
    command: 'ADD' | 'CHECK' | 'DEL',
    network: CniNetwork,
    plugin: CniPlugin,
    sandbox: CniSandbox,
    previous: CniResult | undefined,
  ): Promise<CniOutcome> {
    const failed = (message: string): CniOutcome => ({
      kind: 'failed',
      message: `plugin type=${JSON.stringify(plugin.type)} failed (${command.toLowerCase()}): ${message}`,
    });
    const path = join(this.#pluginDirectory, plugin.type);
    if (!existsSync(path)) {
      return failed(
        `failed to find plugin ${JSON.stringify(plugin.type)} in path [${this.#pluginDirectory}]`,
      );
    }
    const ended = await runPlugin(path, pluginInput(network, plugin, previous), {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      CNI_COMMAND: command,
      CNI_CONTAINERID: sandbox.containerId,
      CNI_NETNS: sandbox.netns,
      CNI_IFNAME: INTERFACE,
      CNI_ARGS: sandbox.args,
      CNI_PATH: this.#pluginDirectory,
    });
    if (ended.kind === 'failed') return failed(ended.message);
    if (ended.code !== 0) return failed(pluginError(ended.stdout, ended.stderr, ended.code));
    if (command !== 'ADD') return { kind: 'done', result: previous ?? {} };
    try {
      return { kind: 'done', result: JSON.parse(ended.stdout) as CniResult };
    } catch {
      return failed(`its result is not JSON: ${JSON.stringify(ended.stdout.slice(0, 200))}`);
    }
  }
}

type Ended =
  | {
      readonly kind: 'ended';
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    }
  | { readonly kind: 'failed'; readonly message: string };

async function runPlugin(
  path: string,
  input: string,
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const child = spawn(path, [], { env, timeout: PLUGIN_TIMEOUT_MS, killSignal: 'SIGKILL' });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (chunk: string) => {
      if (output[name].length < OUTPUT_BYTES_MAX) output[name] += chunk;
    });
  }
  // A plugin that does not read its input is judged by its exit code.
  child.stdin.on('error', () => undefined);
  child.once('error', (error) => resolve({ kind: 'failed', message: error.message }));
  child.once('close', (code, signal) => {
    if (code === null) resolve({ kind: 'failed', message: `ended by ${signal}` });
    else resolve({ kind: 'ended', code, ...output });
  });
  child.stdin.end(input);
  return promise;
}
