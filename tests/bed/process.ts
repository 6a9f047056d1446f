import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Lines that a running program may have said before the oldest are forgotten. */
const KEPT_LINES_MAX = 20_000;
/** Between the polite signal and the one that cannot be ignored. */
const STOP_GRACE_MS = 2_000;

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Network namespace by path; without it the caller's. */
  readonly netns?: string;
}

export interface RunOptions extends StartOptions {
  readonly input?: string;
  /** After this the program is killed and the result says so. Default 30 s. */
  readonly deadlineMs?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Result extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** How to start one of the project's programs, by its path from the root: the same Node, from any directory. */
export function program(path: string, ...argv: readonly string[]): readonly string[] {
  return [process.execPath, fileURLToPath(new URL(`../../${path}`, import.meta.url)), ...argv];
}

/** Process groups that live now, by the pid of their leader. */
const groups = new Set<number>();

/** Ends every process group that `start` and `run` have opened and that still lives; for exit handlers. */
export function killAllGroups(): void {
  for (const pid of groups) signalGroup(pid, 'SIGKILL');
}

/** Runs a program to its end. A failing program is a result, not an exception; one that cannot be started is. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = spawnGroup(command, options);
  const deadlineMs = options.deadlineMs ?? 30_000;
  const timer = setTimeout(() => signalGroup(child.pid ?? 0, 'SIGKILL'), deadlineMs);
  child.stdin?.on('error', ignoreReaderGone);
  child.stdin?.end(options.input ?? '');
  const [stdout, stderr, exit] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    exitOf(child),
  ]).finally(() => clearTimeout(timer));
  return { ...exit, stdout, stderr };
}

/** The same for steps that must succeed: returns what it printed, throws with what it complained about. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, options);
  if (result.code === 0) return result.stdout;
  const how = result.code === null ? `was ended by ${result.signal}` : `exited with ${result.code}`;
  throw new Error(
    `"${command.join(' ')}" ${how}: ${result.stderr.trim() || result.stdout.trim() || 'it said nothing'}`,
  );
}

/** Starts a program that stays. Its output, both streams, is kept line by line. */
export function start(command: readonly string[], options: StartOptions = {}): Running {
  return new Running(command, options);
}

/** A program that runs in a process group of its own. */
export class Running {
  readonly pid: number;
  readonly command: string;
  readonly exited: Promise<Exit>;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<(line: string) => void>();
  readonly #child: ChildProcess;
  #exit: Exit | undefined;

  constructor(command: readonly string[], options: StartOptions) {
    this.command = command.join(' ');
    this.#child = spawnGroup(command, options);
    this.pid = this.#child.pid ?? 0;
    this.#child.stdin?.on('error', ignoreReaderGone);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => this.#onLine(line));
    }
    this.exited = exitOf(this.#child).then((exit) => {
      this.#exit = exit;
      return exit;
    });
    // Whoever awaits `exited` sees the failure; nobody has to.
    this.exited.catch(() => {});
  }

  /** Everything it has said so far, oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /**
   * The first line that matches, said already (from line `after` on) or within the deadline.
   * Throws with the end of the output when the program ends first, or the time is over.
   */
  async waitFor(pattern: RegExp, deadlineMs = 10_000, after = 0): Promise<string> {
    const said = this.#lines.slice(after).find((line) => pattern.test(line));
    if (said !== undefined) return said;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const watch = (line: string): void => {
      if (pattern.test(line)) resolve(line);
    };
    const timer = setTimeout(
      () => reject(this.#silence(`did not say ${pattern} in ${deadlineMs} ms`)),
      deadlineMs,
    );
    this.#waiting.add(watch);
    this.exited.then(
      (exit) =>
        reject(this.#silence(`ended (${exit.signal ?? exit.code}) before it said ${pattern}`)),
      reject,
    );
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(watch);
    });
  }

  /** Sends one line to its standard input. */
  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) signalGroup(this.pid, name);
  }

  /** SIGTERM, then SIGKILL to whatever of the group is left after `graceMs`. */
  async stop(graceMs: number = STOP_GRACE_MS): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
      signalGroup(this.pid, 'SIGKILL'); // what the leader left behind
    }
  }

  #onLine(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES_MAX) this.#lines.shift();
    for (const watch of this.#waiting) watch(line);
  }

  #silence(what: string): Error {
    return new Error(
      `"${this.command}" ${what}; its last lines:\n${this.#lines.slice(-20).join('\n')}`,
    );
  }
}

function spawnGroup(command: readonly string[], options: StartOptions): ChildProcess {
  const [executable = '', ...rest] = inNamespace(command, options.netns);
  const child = spawn(executable, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true, // a group of its own: one signal reaches its children too
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...inheritedEnvironment(), ...options.env },
  });
  const { pid } = child;
  if (pid !== undefined) {
    groups.add(pid);
    child.once('exit', () => groups.delete(pid));
  }
  return child;
}

/** `nsenter` replaces itself by the program, so the pid is the program's. `ip netns exec` wants to mount /sys, which an unprivileged user namespace may refuse. */
function inNamespace(command: readonly string[], netns: string | undefined): readonly string[] {
  return netns === undefined ? command : ['nsenter', `--net=${netns}`, '--', ...command];
}

function inheritedEnvironment(): NodeJS.ProcessEnv {
  return process.env;
}

async function exitOf(child: ChildProcess): Promise<Exit> {
  const { promise, resolve, reject } = Promise.withResolvers<Exit>();
  child.once('error', reject);
  child.once('close', (code, signal) => resolve({ code, signal }));
  return promise;
}

async function collect(stream: NodeJS.ReadableStream | null): Promise<string> {
  if (stream === null) return '';
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) text += String(chunk);
  return text;
}

function signalGroup(pid: number, name: NodeJS.Signals): void {
  if (pid <= 0) return;
  try {
    process.kill(-pid, name);
  } catch (error) {
    ignoreGone(error);
  }
}

/** A group that has ended on its own is what we wanted. */
function ignoreGone(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
}

/** A program may end without having read its input: its exit tells. */
function ignoreReaderGone(): void {}
