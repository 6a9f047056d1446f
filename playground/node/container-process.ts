import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';

import { type ContainerLaunch, containerScript, PID_LINE, READY_LINE } from './container-script.ts';
import type { LogFile, LogStream } from './log-file.ts';
import { hasUseFor } from './process-signals.ts';

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

/** A running container: the processes of one process namespace. */
export class ContainerProcess {
  readonly launch: ContainerLaunch;
  /** The container's first process, as the node sees it. */
  readonly pid: number;
  readonly exited: Promise<ContainerExit>;
  readonly stdin: Writable | null;
  readonly #listeners: Set<OutputListener>;
  readonly #startedAtMs = Date.now();

  constructor(
    launch: ContainerLaunch,
    pid: number,
    child: ChildProcess,
    exited: Promise<ContainerExit>,
    listeners: Set<OutputListener>,
  ) {
    this.launch = launch;
    this.pid = pid;
    this.exited = exited;
    this.stdin = child.stdin;
    this.#listeners = listeners;
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
  options: { readonly log: LogFile; readonly stdin: boolean },
): Promise<StartOutcome> {
  const { scratch } = launch.filesystem;
  mkdirSync(scratch, { recursive: true, mode: 0o755 });
  const script = `${scratch}/start.sh`;
  writeFileSync(script, containerScript(launch), { mode: 0o600 });
  const child = spawnContainer(launch, netns, script, options.stdin);
  const listeners = new Set<OutputListener>();
  for (const [stream, readable] of [
    ['stdout', child.stdio[1]],
    ['stderr', child.stdio[4]],
  ] as const) {
    readable?.on('data', (chunk: Buffer) => {
      options.log.write(stream, chunk);
      for (const listener of listeners) listener(stream, chunk);
    });
  }
  // A reader that has gone is no reason to end; the program finds out.
  child.stdin?.on('error', () => undefined);
  const exited = exitOf(child).finally(() => {
    options.log.close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const said = await prologue(child.stdio[3] as Readable, () => child.kill('SIGKILL'));
  const pid = Number(PID_LINE.exec(said)?.[1] ?? 0);
  if (pid > 0 && said.endsWith(READY_LINE)) {
    const container = new ContainerProcess(launch, pid, child, exited, listeners);
    return { kind: 'started', container };
  }
  const exit = await exited;
  const problem = said.replace(PID_LINE, '').trim();
  return { kind: 'failed', message: problem || exit.said.trim(), code: exit.code };
}

function spawnContainer(
  launch: ContainerLaunch,
  netns: string | undefined,
  script: string,
  stdin: boolean,
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
  return spawn(program, args, {
    stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
}

interface Ended extends ContainerExit {
  /** What "unshare" itself said. */
  readonly said: string;
}

async function exitOf(child: ChildProcess): Promise<Ended> {
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
  return promise;
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
