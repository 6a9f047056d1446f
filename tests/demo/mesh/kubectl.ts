import { must, type Result, type Running, run, start } from '#tests/bed/process.ts';

/** Longer than any single command of the story needs on a slow machine. */
const COMMAND_DEADLINE_MS = 90_000;

/** The stock kubectl, with the cluster of the story. */
export class Kubectl {
  readonly #env: Readonly<Record<string, string>>;

  constructor(kubeconfig: string) {
    this.#env = { KUBECONFIG: kubeconfig };
  }

  /** What it printed; throws with what it complained about. */
  async must(args: readonly string[], input?: string): Promise<string> {
    return must(['kubectl', ...args], this.#options(input));
  }

  async run(args: readonly string[], input?: string): Promise<Result> {
    return run(['kubectl', ...args], this.#options(input));
  }

  /** For commands that stay. */
  start(args: readonly string[]): Running {
    return start(['kubectl', ...args], { env: this.#env });
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await this.must(['apply', '-f', '-'], JSON.stringify(list));
  }

  async get<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.must(['get', ...args, '-o', 'json'])) as T;
  }

  #options(input: string | undefined): {
    env: Readonly<Record<string, string>>;
    deadlineMs: number;
    input: string;
  } {
    return { env: this.#env, deadlineMs: COMMAND_DEADLINE_MS, input: input ?? '' };
  }
}
