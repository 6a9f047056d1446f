import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

import type { ContainerProcess } from '../container-process.ts';
import { killGroup, spawnInside } from '../execute.ts';
import { Terminal } from '../terminal.ts';

import type { Session, SessionSink, WantedStreams } from './session.ts';

/** A command that somebody wants to run in a container, with which of its streams. */
export interface CommandRequest extends WantedStreams {
  readonly command: readonly string[];
}

/** A command that runs in a container, with or without a terminal. */
export class CommandSession implements Session {
  readonly #child: ChildProcess;
  readonly #terminal: Terminal | undefined;
  readonly #outputs: readonly Readable[];
  readonly #input: Writable | undefined;

  /** @throws Error when it can't be started */
  constructor(container: ContainerProcess, request: CommandRequest, sink: SessionSink) {
    if (request.tty) {
      // Of the container's own, so that its programs find it by its name.
      const devices = `/proc/${container.pid}/root/dev/pts`;
      this.#terminal = new Terminal(`${devices}/ptmx`, devices);
      const { slave, stream } = this.#terminal;
      const command = ['/usr/bin/env', 'TERM=xterm', ...request.command];
      this.#child = spawnInside(container, command, [slave, slave, slave], true);
      this.#terminal.started();
      this.#outputs = [stream];
      this.#input = stream;
    } else {
      const stdio = [request.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] as const;
      this.#child = spawnInside(container, request.command, stdio);
      const { stdout, stderr, stdin } = this.#child;
      this.#outputs = [stdout, stderr].filter((stream) => stream !== null);
      this.#input = stdin ?? undefined;
    }
    this.#connect(request, sink);
  }

  input(chunk: Buffer): boolean {
    return this.#input?.writable === true ? this.#input.write(chunk) : true;
  }

  endInput(): void {
    // A terminal has no end that could be sent: its user types it.
    if (this.#terminal === undefined) this.#input?.end();
  }

  resize(columns: number, rows: number): void {
    this.#terminal?.resize(columns, rows);
  }

  resumeOutput(): void {
    for (const output of this.#outputs) output.resume();
  }

  abort(): void {
    this.#terminal?.destroy();
    killGroup(this.#child);
  }

  #connect(request: CommandRequest, sink: SessionSink): void {
    const wanted = { stdout: request.stdout || request.tty, stderr: request.stderr };
    const names = ['stdout', 'stderr'] as const;
    for (const [index, output] of this.#outputs.entries()) {
      const name = names[index] ?? 'stdout';
      output.on('data', (chunk: Buffer) => {
        if (wanted[name] && !sink.output(name, chunk)) output.pause();
      });
    }
    this.#input?.on('drain', () => sink.inputDrained());
    // A program that does not read.
    this.#input?.on('error', () => undefined);
    void this.#ended().then((code) => sink.finished(code));
  }

  async #ended(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#child.once('error', () => resolve(NOT_STARTED));
    // "close": the pipes have been read to their ends too.
    this.#child.once('close', (code) => resolve(code ?? KILLED));
    const code = await promise;
    await this.#terminal?.finish();
    return code;
  }
}

const NOT_STARTED = 126;
const KILLED = 137;
