import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { type Exit, program, type Running, start } from '#tests/bed/process.ts';

import { type AccessLogLine, findAccessLog } from '../access-log.ts';
import { Kubectl } from './kubectl.ts';

const SAMPLES = fileURLToPath(new URL('../../../samples/', import.meta.url));
const UP_DEADLINE_MS = 180_000;
const LOG_DEADLINE_MS = 10_000;
const LOG_POLL_MS = 100;

export const SHOP = 'shop';
export const OUTSIDE = 'outside';
export const MESH = 'istio-system';
/** Where `details` answers, and a piece of what it says that must not be read on the way. */
export const DETAILS_URL = 'http://details.shop:9080/details/0';
export const SECRET = 'William Shakespeare';

export interface PodView {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

/** What a caller got. */
export type Heard =
  | { readonly kind: 'answer'; readonly text: string }
  | { readonly kind: 'error'; readonly why: string };

/** A cluster with a book shop in it, of which everything is seen and done through kubectl. */
export class Shop {
  readonly name: string;
  readonly kubeconfig: string;
  readonly kubectl: Kubectl;
  readonly #directory: string;
  #up: Running | undefined;

  constructor(name: string) {
    this.name = name;
    this.#directory = mkdtempSync(join(tmpdir(), 'ambit-demo-'));
    this.kubeconfig = join(this.#directory, 'kubeconfig');
    this.kubectl = new Kubectl(this.kubeconfig);
  }

  /** `ambit up`, whose progress is told line by line. */
  async *up(): AsyncIterable<string> {
    const command = ['up', '--name', this.name, '--nodes', '2', '--kubeconfig', this.kubeconfig];
    const up = start(program('cli/main.ts', ...command));
    this.#up = up;
    const untilMs = performance.now() + UP_DEADLINE_MS;
    let told = 0;
    for (;;) {
      for (; told < up.lines.length; told++) {
        const line = up.lines[told] ?? '';
        yield line;
        if (line.includes('export KUBECONFIG=')) return;
      }
      hold(up.running, 'ambit up ended, see above');
      hold(performance.now() < untilMs, `ambit up took longer than ${UP_DEADLINE_MS / 1000} s`);
      await sleep(50);
    }
  }

  /** Ends the cluster as Ctrl-C would, and waits until nothing of it is left. */
  async down(): Promise<Exit | undefined> {
    const up = this.#up;
    this.#up = undefined;
    up?.signal('SIGINT');
    const exit = await up?.exited;
    rmSync(this.#directory, { recursive: true, force: true });
    return exit;
  }

  async pods(namespace: string, selector?: string): Promise<readonly PodView[]> {
    const labels = selector === undefined ? [] : ['-l', selector];
    const args = ['pods', '-n', namespace, ...labels];
    return (await this.kubectl.get<{ items: PodView[] }>(...args)).items;
  }

  async pod(namespace: string, selector: string): Promise<PodView> {
    const [first] = await this.pods(namespace, selector);
    hold(first !== undefined, `There is no pod ${selector} in ${namespace}`);
    return first;
  }

  /** Asks `url` from inside a pod. */
  async ask(namespace: string, pod: string, url: string = DETAILS_URL): Promise<Heard> {
    const curl = ['curl', '-sS', '--max-time', '5', url];
    const heard = await this.kubectl.run(['exec', '-n', namespace, pod, '--', ...curl]);
    if (heard.code === 0) return { kind: 'answer', text: heard.stdout.trim() };
    const why = heard.stderr.split('\n').find((line) => line.startsWith('curl:'));
    return { kind: 'error', why: why ?? heard.stderr.trim() };
  }

  /** What the node tunnel of a node has logged, as `kubectl logs` tells it. */
  async tunnelLog(node: string): Promise<readonly string[]> {
    const tunnels = await this.pods(MESH, 'app=ztunnel');
    const tunnel = tunnels.find((pod) => pod.spec.nodeName === node);
    hold(tunnel !== undefined, `There is no node tunnel on ${node}`);
    const text = await this.kubectl.must(['logs', '-n', MESH, tunnel.metadata.name]);
    return text.split('\n');
  }

  /** The last access log line of a node's tunnel with these values; it may take a moment to be there. */
  async accessLog(
    node: string,
    wanted: Readonly<Record<string, string>>,
  ): Promise<AccessLogLine | undefined> {
    const untilMs = performance.now() + LOG_DEADLINE_MS;
    for (;;) {
      const line = findAccessLog(await this.tunnelLog(node), wanted).at(-1);
      if (line !== undefined || performance.now() > untilMs) return line;
      await sleep(LOG_POLL_MS);
    }
  }
}

/** A manifest of samples/. */
export function sample(name: string): string {
  return readFileSync(`${SAMPLES}${name}`, 'utf8');
}

export function identityOf(namespace: string, serviceAccount: string): string {
  return `spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`;
}

/** Throws with what did not hold. */
export function hold(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
