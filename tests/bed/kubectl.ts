// The real kubectl, kept away from the configuration and the caches of whoever runs the tests.
import { type Result, type Running, type RunOptions, run, start } from './process.ts';

/** The one that is installed; another one by this variable, to try more versions. */
const program = process.env['KUBECTL'] ?? 'kubectl';
/** A slow machine takes seconds for the first call, which reads everything about the API. */
const DEADLINE_MS = 60_000;

export interface KubectlOptions {
  /** File with the server and the user. */
  readonly kubeconfig: string;
  /** Directory for its caches. */
  readonly home: string;
}

/** kubectl for one user of one cluster. */
export class Kubectl {
  readonly #env: Readonly<Record<string, string>>;

  constructor({ kubeconfig, home }: KubectlOptions) {
    this.#env = { KUBECONFIG: kubeconfig, HOME: home, TERM: 'dumb' };
  }

  /** Runs one command to its end, as `run` does. */
  run(args: readonly string[], options: Pick<RunOptions, 'input' | 'cwd'> = {}): Promise<Result> {
    return run([program, ...args], { env: this.#env, deadlineMs: DEADLINE_MS, ...options });
  }

  /** The output of a command that must succeed, without space around it. */
  async must(args: readonly string[], input?: string): Promise<string> {
    const result = await this.run(args, input === undefined ? {} : { input });
    if (result.code === 0) return result.stdout.trim();
    throw new Error(`kubectl ${args.join(' ')}: ${result.stderr.trim() || result.stdout.trim()}`);
  }

  /** What a command that must fail complains about. */
  async fails(args: readonly string[], input?: string): Promise<string> {
    const result = await this.run(args, input === undefined ? {} : { input });
    if (result.code !== 0) return result.stderr.trim();
    throw new Error(`kubectl ${args.join(' ')} succeeded: ${result.stdout.trim()}`);
  }

  /** Runs another program that runs kubectl, which it finds as `kubectl`. */
  around(command: readonly string[]): Promise<Result> {
    return run(command, { env: this.#env, deadlineMs: DEADLINE_MS });
  }

  /** Starts a command that stays: a watch, a log that is followed. */
  start(args: readonly string[]): Running {
    return start([program, ...args], { env: this.#env });
  }
}
