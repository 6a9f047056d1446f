import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { KubeClient } from '#kube/client.ts';
import { kubeconfigCredentials } from '#kube/config.ts';
import { PODS, type Pod } from '#kube/resources.ts';
import { must, program, type Result, type Running, run, start } from '#tests/bed/process.ts';

/** A machine that is shared may take long for what takes it a second alone. */
const DEADLINE_MS = 60_000;

/** Clusters of one test, with a state directory of their own. */
export class Clusters implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'ambit-clusters-'));
  readonly #names = new Set<string>();

  /** Runs `ambit` to its end. */
  async ambit(...args: readonly string[]): Promise<Result> {
    const env = { XDG_STATE_HOME: this.directory };
    return run(program('cli/main.ts', ...args), { env, deadlineMs: DEADLINE_MS });
  }

  /** A cluster with nothing in it. */
  async up(name: string, ...args: readonly string[]): Promise<Cluster> {
    return this.upWithMesh(name, '--bare', ...args);
  }

  /** Starts `ambit up`, with the mesh. */
  start(name: string, ...args: readonly string[]): Running {
    this.#names.add(name);
    const command = program('cli/main.ts', 'up', '--name', name, ...args);
    return start(command, { env: { XDG_STATE_HOME: this.directory } });
  }

  /** The same, and waits until everything is ready. */
  async upWithMesh(name: string, ...args: readonly string[]): Promise<Cluster> {
    const running = this.start(name, ...args);
    const line = await running.waitFor(/^export KUBECONFIG=/, 2 * DEADLINE_MS);
    return new Cluster(running, line.slice('export KUBECONFIG='.length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#names, async (name) => this.ambit('down', '--name', name)));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A cluster that `ambit up` keeps. */
export class Cluster {
  readonly process: Running;
  readonly kubeconfig: string;
  readonly client: KubeClient;

  constructor(process: Running, kubeconfig: string) {
    this.process = process;
    this.kubeconfig = kubeconfig;
    this.client = new KubeClient(kubeconfigCredentials(readFileSync(kubeconfig, 'utf8')));
  }

  /** Watches until a pod is as wanted; answers it, or undefined when it has gone and that was wanted. */
  async podUntil(name: string, holds: (pod: Pod | undefined) => boolean): Promise<Pod | undefined> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const selection = { namespace: 'default', fieldSelector: `metadata.name=${name}` };
    const { items, resourceVersion } = await this.client.list(PODS, selection);
    let last = items[0];
    if (holds(last)) return last;
    try {
      for await (const event of this.client.watch(PODS, {
        ...selection,
        resourceVersion,
        signal,
      })) {
        if (event.type === 'BOOKMARK') continue;
        last = event.type === 'DELETED' ? undefined : event.object;
        if (holds(last)) return last;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    throw new Error(`Waited for too long for pod ${name}: ${JSON.stringify(last?.status)}`);
  }

  async logs(pod: string): Promise<string> {
    return this.get(`/api/v1/namespaces/default/pods/${pod}/log`);
  }

  /** Asks the API server as the administrator, for what is not JSON. */
  async get(path: string): Promise<string> {
    const own = (name: string): string => join(dirname(this.kubeconfig), 'pki', name);
    const keys = ['--cert', own('admin.crt'), '--key', own('admin.key'), '--cacert', own('ca.crt')];
    const { server } = kubeconfigCredentials(readFileSync(this.kubeconfig, 'utf8'));
    return must(['curl', '--silent', '--show-error', '--max-time', '20', ...keys, server + path]);
  }
}
