import type { ChildProcess } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import type { Logger } from '#common/log/logger.ts';

export interface PartOptions {
  readonly name: string;
  /** With a piped standard input its end asks the process to end; without, SIGTERM does. */
  readonly start: () => ChildProcess;
  /** What it prints when it can be used; undefined: it says nothing. */
  readonly ready: RegExp | undefined;
  /** Where its standard error goes; what it prints goes there too. */
  readonly logFile: string;
  readonly log: Logger;
  /** Called when it ends by itself after it was ready, with how; it is not started again then. */
  readonly onLost?: (how: string) => void;
}

/** At once at first, later and later when it ends again and again. */
const RESTART: BackoffPlan = { firstMs: 250, maxMs: 30_000, spread: 0.2 };
/** Who ran this long starts over. */
const STABLE_MS = 60_000;
/** A node ends its pods before it ends itself. */
const STOP_MS = 5_000;

/** A process of a cluster that is started again when it ends. */
export class Part {
  readonly #options: PartOptions;
  readonly #ready = Promise.withResolvers<void>();
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wasReady = false;
  #failures = 0;
  #stopping = false;

  constructor(options: PartOptions) {
    this.#options = options;
  }

  /** Resolves when it can be used for the first time. Rejects when it ends before, with its last words: then it stays so. */
  async start(): Promise<void> {
    this.#run();
    if (this.#options.ready === undefined) this.#becameReady();
    await this.#ready.promise;
  }

  /** Ends it, and kills it when that takes too long. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once('exit', () => resolve());
    if (child.stdin === null) child.kill('SIGTERM');
    else child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await promise;
    clearTimeout(timer);
  }

  #run(): void {
    const startedMs = Date.now();
    const child = this.#options.start();
    this.#child = child;
    child.stdin?.on('error', () => undefined);
    if (child.stdout !== null) {
      const { name, logFile, log } = this.#options;
      const file = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
      // A full disk, say: the part goes on.
      file.on('error', ({ message }) => log.warn('a log has gaps', { part: name, why: message }));
      child.stdout.pipe(file);
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (this.#options.ready?.test(line) === true) this.#becameReady();
      });
    }
    child.once('error', (error) => this.#ended(error.message, startedMs));
    child.once('exit', (code, signal) => this.#ended(signal ?? `code ${code}`, startedMs));
  }

  #becameReady(): void {
    this.#wasReady = true;
    this.#ready.resolve();
  }

  #ended(how: string, startedMs: number): void {
    if (this.#child === undefined) return;
    this.#child = undefined;
    if (this.#stopping) return;
    const { name, logFile, log } = this.#options;
    if (!this.#wasReady) {
      const said = lastLine(logFile);
      this.#ready.reject(new Error(`${name} ended before it was ready (${how}): ${said}`));
      return;
    }
    if (this.#options.onLost !== undefined) {
      log.error('a part has ended', { part: name, how });
      this.#options.onLost(how);
      return;
    }
    if (Date.now() - startedMs >= STABLE_MS) this.#failures = 0;
    this.#failures += 1;
    const delayMs = Math.round(backoffMs(RESTART, this.#failures, Math.random));
    log.error('a part ended and is started again', { part: name, how, delay_ms: delayMs });
    this.#timer = setTimeout(() => this.#run(), delayMs);
  }
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}
