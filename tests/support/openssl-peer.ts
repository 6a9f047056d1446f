import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';

import type { TlsMaterial } from '#reactor/tls/context.ts';

import type { TestAuthority } from './tls-material.ts';

/** A running `openssl s_client` or `openssl s_server`. */
export class OpensslPeer {
  /** Standard output and standard error so far. */
  output = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #waiters: (() => void)[] = [];

  constructor(words: readonly string[]) {
    this.#child = spawn('openssl', words);
    this.#exited = once(this.#child, 'exit');
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('latin1').on('data', (text: string) => {
        this.output += text;
        this.#wake();
      });
    }
    this.#child.on('exit', () => this.#wake());
    // It may be gone when a test still writes.
    this.#child.stdin.on('error', () => undefined);
  }

  /** The first match of `pattern` in what it has printed, as soon as there is one. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output);
      if (match !== null) return match;
      if (this.#child.exitCode !== null) throw new Error(`No ${pattern} in: ${this.output}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.push(resolve);
      await promise;
    }
  }

  /** A line on its standard input: data, or a command of one letter. */
  line(text: string): void {
    this.#child.stdin.write(`${text}\n`);
  }

  /** Ends its input: s_client then closes its connection. */
  endInput(): void {
    this.#child.stdin.end();
  }

  kill(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): void {
    this.#child.kill(signal);
  }

  async exited(): Promise<void> {
    await this.#exited;
  }

  async stop(): Promise<void> {
    this.kill('SIGKILL');
    await this.#exited;
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

/** The options by which openssl uses `material`. */
export function identityOptions(authority: TestAuthority, material: TlsMaterial): string[] {
  return [
    '-cert',
    authority.file('pem', material.chainPem.join('')),
    '-key',
    authority.file('key', material.privateKeyPem),
    '-CAfile',
    authority.file('pem', material.rootsPem),
  ];
}
