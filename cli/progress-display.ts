/** Tells how far a start is: what is done in lines that stay, and on a terminal what is awaited in one that changes. */
export class ProgressDisplay {
  readonly #stream: NodeJS.WriteStream;
  readonly #now: () => number;
  readonly #startedMs: number;
  /** What is on the terminal's last line. */
  #shown = '';

  constructor(stream: NodeJS.WriteStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#startedMs = now();
  }

  done(what: string): void {
    const seconds = ((this.#now() - this.#startedMs) / 1_000).toFixed(1);
    this.#replace('');
    this.#stream.write(`  ${what.padEnd(WIDTH)}${seconds.padStart(5)} s\n`);
  }

  /** An empty text: nothing any more. */
  awaits(what: string): void {
    if (this.#stream.isTTY) this.#replace(what === '' ? '' : `  … ${what}`);
  }

  #replace(text: string): void {
    if (text === this.#shown) return;
    // To the line's begin, without what was there.
    this.#stream.write(`\r\x1b[K${text}`);
    this.#shown = text;
  }
}

const WIDTH = 24;
