import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';

import { type ContainerLaunch, containerScript, PID_LINE, READY_LINE } from './container-script.ts';
import type { LogFile, LogStream } from './log-file.ts';
import { hasUseFor } from './process-signals.ts';
import { Terminal } from './terminal.ts';

/** How a container ended. */
export interface ContainerExit {
  /** 128 + the signal's number when a signal ended it, as container runtimes say it. */
  readonly code: number;
  readonly signal: NodeJS.Signals | null;
}

export type StartOutcome =
  | { readonly kind: 'started'; readonly container: ContainerProcess }
  /** The program never ran; the text says why. */
  | { readonly kind: 'failed'; readonly message: string; readonly code: number };

/** A prologue does some thirty mounts; on a busy machine that may take a while. */
const PROLOGUE_TIMEOUT_MS = 60_000;
/** Between looks at whether a program that is to end listens yet. */
const LISTENS_POLL_MS = 20;
/** A program may take so long to begin. Later, a handler that goes has done its work. */
const STARTING_MS = 60_000;

/** Sends what a container says to whoever is attached. */
export type OutputListener = (stream: LogStream, chunk: Buffer) => void;

/** What somebody can type into a container. */
export interface ContainerInput {
  /** A pipe. */
  readonly stdin: boolean;
  /** It ends when the first who has typed leaves. */
  readonly once: boolean;
  /** A terminal, which is input and output. */
  readonly tty: boolean;
}

/** Its ways in and out. */
interface ContainerStreams {
  readonly outputs: readonly { readonly name: LogStream; readonly stream: Readable }[];
  readonly input: Writable | undefined;
  readonly terminal: Terminal | undefined;
  readonly endsWithFirst: boolean;
}

/** A running container: the processes of one process namespace. */
export class ContainerProcess {
  readonly launch: ContainerLaunch;
  /** The container's first process, as the node sees it. */
  readonly pid: number;
  readonly exited: Promise<ContainerExit>;
  readonly #streams: ContainerStreams;
  readonly #listeners: Set<OutputListener>;
  readonly #startedAtMs = Date.now();
  #pauses = 0;

  constructor(
    launch: ContainerLaunch,
    pid: number,
    exited: Promise<ContainerExit>,
    streams: ContainerStreams,
    listeners: Set<OutputListener>,
  ) {
    this.launch = launch;
    this.pid = pid;
    this.exited = exited;
    this.#streams = streams;
    this.#listeners = listeners;
  }

  get hasTerminal(): boolean {
    return this.#streams.terminal !== undefined;
  }

  get hasInput(): boolean {
    return this.#streams.input !== undefined;
  }

  /** Calls `listener` with what the container says from now on; the result ends that. */
  onOutput(listener: OutputListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Asks the container to end, and settles when it has: SIGTERM, as soon as its first process listens for that. The kernel
   * throws away what the first process of a process namespace has no handler for, and a program that has only begun has none
   * yet. A Node that has only begun has one that ends it by the same signal, in vain, and never again: then it is asked once
   * more when its program listens. One that never listens is never asked.
   */
  async askToEnd(): Promise<void> {
    for (let isAsked = false; ; ) {
      const listens = this.launch.hostProcesses || this.#listensForEnd();
      if (listens && !isAsked) this.signal('SIGTERM');
      isAsked = listens || (isAsked && Date.now() - this.#startedAtMs > STARTING_MS);
      if (await Promise.race([this.exited.then(() => true), wait(LISTENS_POLL_MS, false)])) return;
    }
  }

  #listensForEnd(): boolean {
    try {
      return hasUseFor(readFileSync(`/proc/${this.pid}/status`, 'utf8'), constants.signals.SIGTERM);
    } catch {
      // It has just ended.
      return false;
    }
  }

  /** Lets the container wait with what it says; the result ends that. */
  pauseOutput(): () => void {
    this.#pauses += 1;
    for (const { stream } of this.#streams.outputs) stream.pause();
    return () => {
      this.#pauses -= 1;
      if (this.#pauses > 0) return;
      for (const { stream } of this.#streams.outputs) stream.resume();
    };
  }

  /** False: there is no room, see {@link onInputDrained}. */
  input(chunk: Buffer): boolean {
    const { input } = this.#streams;
    return input?.writable === true ? input.write(chunk) : true;
  }

  onInputDrained(listener: () => void): () => void {
    const { input } = this.#streams;
    input?.on('drain', listener);
    return () => input?.off('drain', listener);
  }

  /** Somebody who could type has left. */
  inputLeft(): void {
    const { input, terminal, endsWithFirst } = this.#streams;
    // A terminal has no end that could be sent.
    if (endsWithFirst && terminal === undefined) input?.end();
  }

  resize(columns: number, rows: number): void {
    this.#streams.terminal?.resize(columns, rows);
  }

  /** To the container's first process; SIGKILL ends all of them. */
  signal(name: NodeJS.Signals): void {
    try {
      process.kill(this.pid, name);
    } catch (error) {
      // It has ended on its own: that was the wish.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/**
 * Starts a container and waits until its program has taken over. `netns` is the path of the network namespace; undefined
 * for the node's.
 */
export async function startContainer(
  launch: ContainerLaunch,
  netns: string | undefined,
  options: { readonly log: LogFile; readonly input: ContainerInput },
): Promise<StartOutcome> {
  const { scratch } = launch.filesystem;
  mkdirSync(scratch, { recursive: true, mode: 0o755 });
  const script = `${scratch}/start.sh`;
  writeFileSync(script, containerScript(launch), { mode: 0o600 });
  const { input } = options;
  const terminal = input.tty ? new Terminal('/dev/ptmx', '/dev/pts') : undefined;
  const child = spawnContainer(launch, netns, script, input.stdin, terminal);
  const streams = streamsOf(child, input, terminal);
  const listeners = new Set<OutputListener>();
  for (const { name, stream } of streams.outputs) {
    stream.on('data', (chunk: Buffer) => {
      options.log.write(name, chunk);
      for (const listener of listeners) listener(name, chunk);
    });
  }
  // A reader that has gone is no reason to end; the program finds out.
  streams.input?.on('error', () => undefined);
  const exited = exitOf(child, terminal).finally(() => {
    options.log.close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const said = await prologue(child.stdio[3] as Readable, () => child.kill('SIGKILL'));
  const pid = Number(PID_LINE.exec(said)?.[1] ?? 0);
  if (pid > 0 && said.endsWith(READY_LINE)) {
    const container = new ContainerProcess(launch, pid, exited, streams, listeners);
    return { kind: 'started', container };
  }
  const exit = await exited;
  const problem = said.replace(PID_LINE, '').trim();
  return { kind: 'failed', message: problem || exit.said.trim(), code: exit.code };
}

function streamsOf(
  child: ChildProcess,
  input: ContainerInput,
  terminal: Terminal | undefined,
): ContainerStreams {
  const endsWithFirst = input.once;
  if (terminal !== undefined) {
    const { stream } = terminal;
    const outputs = [{ name: 'stdout', stream }] as const;
    return { outputs, input: input.stdin ? stream : undefined, terminal, endsWithFirst };
  }
  const outputs = [
    { name: 'stdout', stream: child.stdio[1] as Readable },
    { name: 'stderr', stream: child.stdio[4] as Readable },
  ] as const;
  return { outputs, input: child.stdin ?? undefined, terminal, endsWithFirst };
}

function spawnContainer(
  launch: ContainerLaunch,
  netns: string | undefined,
  script: string,
  stdin: boolean,
  terminal: Terminal | undefined,
): ChildProcess {
  const unshare = [
    'unshare',
    '--mount',
    '--propagation=unchanged',
    '--ipc',
    ...(launch.hostname === undefined ? [] : ['--uts']),
    ...(launch.hostProcesses ? [] : ['--pid']),
    '--fork',
    '--kill-child',
    'sh',
    script,
  ];
  const [program = '', ...args] =
    netns === undefined ? unshare : ['nsenter', `--net=${netns}`, '--', ...unshare];
  const slave = terminal?.slave;
  const child = spawn(program, args, {
    stdio: [slave ?? (stdin ? 'pipe' : 'ignore'), slave ?? 'pipe', 'pipe', 'pipe', slave ?? 'pipe'],
    detached: true,
  });
  terminal?.started();
  return child;
}

interface Ended extends ContainerExit {
  /** What "unshare" itself said. */
  readonly said: string;
}

async function exitOf(child: ChildProcess, terminal: Terminal | undefined): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  // Not installed, or no more processes: what is said on descriptor 3 is empty then.
  child.once('error', (error) => resolve({ code: 128, signal: null, said: error.message }));
  child.once('close', (code, signal) => {
    // "unshare" ends as its child did; but a SIGKILL it can't repeat to itself, and says so.
    const killed = code === 1 && said.includes('sigprocmask unblock failed');
    const by = killed ? 'SIGKILL' : signal;
    resolve({ code: by === null ? (code ?? 1) : 128 + constants.signals[by], signal: by, said });
  });
  const ended = await promise;
  await terminal?.finish();
  return ended;
}

/** What is said on descriptor 3, up to the line that says that all is well. */
async function prologue(stream: Readable, giveUp: () => void): Promise<string> {
  const timer = setTimeout(giveUp, PROLOGUE_TIMEOUT_MS);
  let text = '';
  stream.setEncoding('utf8');
  try {
    for await (const chunk of stream) {
      text += String(chunk);
      if (text.endsWith(READY_LINE)) break;
    }
  } catch {
    // The process could not be started; its exit tells.
  } finally {
    clearTimeout(timer);
  }
  return text;
}
