import type { ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';

import { openPty, resizePty } from '#linux/pty.ts';

import type { ContainerProcess } from '../container-process.ts';
import { killGroup, spawnInside } from '../execute.ts';

/** A command that somebody wants to run in a container, with which of its streams. */
export interface CommandRequest {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Who takes what a command says. */
export interface CommandSink {
  /** False: there is no room, `resumeOutput` is called when there is. */
  output(stream: 'stdout' | 'stderr', chunk: Buffer): boolean;
  /** There is room for input again, after `input` has answered false. */
  inputDrained(): void;
  /** The last call. */
  finished(exitCode: number): void;
}

/** What a terminal still says after its program has ended comes in at once, unless somebody else has it open. */
const LAST_WORDS_MS = 300;

/** A command that runs in a container, with or without a terminal. */
export class CommandSession {
  readonly #child: ChildProcess;
  readonly #terminal: ReadStream | undefined;
  readonly #master: number | undefined;
  readonly #outputs: readonly Readable[];
  readonly #input: Writable | undefined;

  /** @throws Error when it can't be started */
  constructor(container: ContainerProcess, request: CommandRequest, sink: CommandSink) {
    if (request.tty) {
      // Of the container's own, so that its programs find it by its name.
      const devices = `/proc/${container.pid}/root/dev/pts`;
      const { master, slave } = openPty(`${devices}/ptmx`, devices);
      const command = ['/usr/bin/env', 'TERM=xterm', ...request.command];
      const stdio = [slave, slave, slave];
      this.#child = spawnInside(container, command, stdio, true);
      closeSync(slave);
      this.#master = master;
      this.#terminal = new ReadStream(master);
      this.#outputs = [this.#terminal];
      this.#input = this.#terminal;
    } else {
      const stdio = [request.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] as const;
      this.#child = spawnInside(container, request.command, stdio);
      const { stdout, stderr, stdin } = this.#child;
      this.#outputs = [stdout, stderr].filter((stream) => stream !== null);
      this.#input = stdin ?? undefined;
    }
    this.#connect(request, sink);
  }

  /** False: wait for `inputDrained`. */
  input(chunk: Buffer): boolean {
    return this.#input?.writable === true ? this.#input.write(chunk) : true;
  }

  endInput(): void {
    // A terminal has no end that could be sent: its user types it.
    if (this.#terminal === undefined) this.#input?.end();
  }

  resize(columns: number, rows: number): void {
    if (this.#master !== undefined && this.#terminal?.destroyed === false) {
      resizePty(this.#master, columns, rows);
    }
  }

  resumeOutput(): void {
    for (const output of this.#outputs) output.resume();
  }

  /** Nobody is interested any more. */
  abort(): void {
    this.#terminal?.destroy();
    killGroup(this.#child);
  }

  #connect(request: CommandRequest, sink: CommandSink): void {
    const wanted = { stdout: request.stdout || request.tty, stderr: request.stderr };
    const names = ['stdout', 'stderr'] as const;
    for (const [index, output] of this.#outputs.entries()) {
      const name = names[index] ?? 'stdout';
      output.on('data', (chunk: Buffer) => {
        if (wanted[name] && !sink.output(name, chunk)) output.pause();
      });
    }
    this.#input?.on('drain', () => sink.inputDrained());
    // A program that does not read, or a terminal without one (EIO).
    this.#input?.on('error', () => undefined);
    void this.#ended().then((code) => sink.finished(code));
  }

  async #ended(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#child.once('error', () => resolve(NOT_STARTED));
    // "close": the pipes have been read to their ends too.
    this.#child.once('close', (code) => resolve(code ?? KILLED));
    const code = await promise;
    await this.#lastWords();
    return code;
  }

  async #lastWords(): Promise<void> {
    const terminal = this.#terminal;
    if (terminal === undefined || terminal.destroyed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LAST_WORDS_MS);
    terminal.once('error', () => resolve());
    terminal.once('close', () => resolve());
    await promise;
    clearTimeout(timer);
    terminal.destroy();
  }
}

const NOT_STARTED = 126;
const KILLED = 137;
