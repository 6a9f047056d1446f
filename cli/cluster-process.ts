import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { playgroundCommand } from './playground.ts';

/** How a program has ended. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The program that a cluster hangs on. It ends when we do, unless it has been told to stay. */
export class ClusterProcess {
  readonly ended: Promise<End>;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #looks = new Set<() => void>();
  #silent = false;

  constructor(args: readonly string[]) {
    const [program = '', ...first] = playgroundCommand();
    // In a session of its own: the terminal's Ctrl-C comes to us alone.
    const child = spawn(program, [...first, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    child.stdin.on('error', () => undefined);
    child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
    createInterface({ input: child.stdout })
      .on('line', (line) => this.#heard(line))
      .on('close', () => this.#heard(undefined));
    this.ended = endOf(child);
    // Whoever awaits it sees the failure.
    this.ended.catch(() => undefined);
  }

  /** The first line that it says, or has said, that matches; undefined when there will be none. */
  async line(pattern: RegExp): Promise<RegExpExecArray | undefined> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray | undefined>();
    const look = (): void => {
      const match = this.#lines.map((line) => pattern.exec(line)).find((each) => each !== null);
      if (match === undefined && !this.#silent) return;
      this.#looks.delete(look);
      resolve(match);
    };
    this.#looks.add(look);
    look();
    return promise;
  }

  /** Asks it to end. */
  end(): void {
    this.#child.stdin?.end();
  }

  /** Does not ask. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Tells it to go on without us. */
  async stay(): Promise<void> {
    const child = this.#child;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.stdin?.end('stay\n', () => resolve());
    await promise;
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.unref();
  }

  #heard(line: string | undefined): void {
    if (line === undefined) this.#silent = true;
    else this.#lines.push(line);
    for (const look of this.#looks) look();
  }
}

/** Tells the program to do something with clusters, other than to run one. Answers its exit code. */
export async function runTask(
  name: string,
  task: '--down' | '--sweep',
  output: 'inherit' | 'ignore',
): Promise<number> {
  const [program = '', ...first] = playgroundCommand();
  const child = spawn(program, [...first, '--name', name, task], {
    stdio: ['ignore', output, 'inherit'],
  });
  return (await endOf(child)).code ?? 1;
}

async function endOf(child: ChildProcess): Promise<End> {
  const { promise, resolve, reject } = Promise.withResolvers<End>();
  child.once('error', reject);
  child.once('exit', (code, signal) => resolve({ code, signal }));
  return promise;
}
