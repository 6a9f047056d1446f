import { spawn } from 'node:child_process';

import { inNetns } from './netns.ts';

export interface CommandOptions {
  /** The network namespace to run in; the thread's own when left out. */
  readonly netnsFd?: number | undefined;
  /** Text for the standard input. */
  readonly input?: string | undefined;
  /** How long it may take. Default 10 s. */
  readonly timeoutMs?: number | undefined;
}

export type CommandResult =
  /** It ran to its end, well (`code` 0) or not. */
  | {
      readonly kind: 'exited';
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    }
  /** It could not be started, or was killed. */
  | { readonly kind: 'failed'; readonly message: string };

const TIMEOUT_MS = 10_000;
/** Most that is kept of what a program prints; `nft list ruleset` of a large pod takes some KB. */
const OUTPUT_BYTES_MAX = 4 << 20;

/**
 * Runs a program in a network namespace. A child process is forked from the thread that calls and inherits
 * its namespace at that moment, so the thread is switched for the start alone and waits at home.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  { netnsFd, input = '', timeoutMs = TIMEOUT_MS }: CommandOptions = {},
): Promise<CommandResult> {
  const start = () => spawn(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL' });
  return new Promise((resolve) => {
    const child = netnsFd === undefined ? start() : inNetns(netnsFd, start);
    const stdout = new Output(() => child.kill('SIGKILL'));
    const stderr = new Output(() => child.kill('SIGKILL'));
    child.stdout.on('data', (chunk: Buffer) => stdout.take(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.take(chunk));
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => undefined);
    child.once('error', (error: NodeJS.ErrnoException) => {
      const hint = error.code === 'ENOENT' ? ': it is not installed, or not in PATH' : '';
      resolve({ kind: 'failed', message: `Cannot run "${program}" (${error.code})${hint}` });
    });
    child.once('close', (code, signal) => {
      if (code !== null) {
        resolve({ kind: 'exited', code, stdout: stdout.text, stderr: stderr.text });
      } else if (stdout.overflowed || stderr.overflowed) {
        const message = `"${program}" printed more than ${OUTPUT_BYTES_MAX} bytes`;
        resolve({ kind: 'failed', message });
      } else {
        const message = `"${program}" was ended by ${signal}; it may take ${timeoutMs} ms`;
        resolve({ kind: 'failed', message });
      }
    });
    child.stdin.end(input);
  });
}

class Output {
  overflowed = false;
  readonly #chunks: Buffer[] = [];
  readonly #onOverflow: () => void;
  #size = 0;

  constructor(onOverflow: () => void) {
    this.#onOverflow = onOverflow;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  take(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size <= OUTPUT_BYTES_MAX) this.#chunks.push(chunk);
    else if (!this.overflowed) {
      this.overflowed = true;
      this.#onOverflow();
    }
  }
}
