import { closeSync } from 'node:fs';
import { ReadStream } from 'node:tty';

import { openPty, resizePty } from '#linux/pty.ts';

/** What a terminal still says after its program has ended comes in at once, unless somebody else has it open. */
const LAST_WORDS_MS = 300;

/** The front of a pseudo-terminal, where a program is at the back. */
export class Terminal {
  /** What the program says, and what it is told. */
  readonly stream: ReadStream;
  readonly #master: number;
  #slave: number | undefined;

  /**
   * `ptmx` and `directory` are those of the file system in which its programs find it by its name.
   *
   * @throws Error when there is none to be had
   */
  constructor(ptmx: string, directory: string) {
    const { master, slave } = openPty(ptmx, directory);
    this.#master = master;
    this.#slave = slave;
    this.stream = new ReadStream(master);
    // What is typed without a program at the back (EIO).
    this.stream.on('error', () => undefined);
  }

  /** The program's end of it, as long as the program has not been started. */
  get slave(): number {
    if (this.#slave === undefined) throw new Error('the terminal has its program');
    return this.#slave;
  }

  /** The program has its own descriptor now. */
  started(): void {
    if (this.#slave !== undefined) closeSync(this.#slave);
    this.#slave = undefined;
  }

  resize(columns: number, rows: number): void {
    if (!this.stream.destroyed) resizePty(this.#master, columns, rows);
  }

  /** Hangs up. */
  destroy(): void {
    this.started();
    this.stream.destroy();
  }

  /** The program has ended: reads what it has left, and hangs up. */
  async finish(): Promise<void> {
    const { stream } = this;
    if (stream.destroyed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LAST_WORDS_MS);
    stream.once('error', () => resolve());
    stream.once('close', () => resolve());
    await promise;
    clearTimeout(timer);
    stream.destroy();
  }
}
