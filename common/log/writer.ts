import { write, writeSync } from 'node:fs';

import type { LineSink } from './logger.ts';

// 10,000 lines of a busy proxy are about 4 MB; the second limit holds when lines are long.
const LINES_MAX = 10_000;
const CHARACTERS_MAX = 8 << 20;
// A reader that is slow (EAGAIN on a non-blocking pipe) is asked again after this time.
const RETRY_MS = 20;

/** Lines that were collected, ready to be sent to the thread that writes. */
export interface LineBatch {
  /** Each line with its newline. */
  readonly text: string;
  readonly lines: number;
  /** Lines that were dropped since the last batch, because the batch was full. */
  readonly lost: number;
}

/**
 * Collects lines on a thread that must never wait for the log's reader. Someone takes the batch now
 * and then; what does not fit until then is dropped and counted.
 */
export class LineCollector implements LineSink {
  readonly #linesMax: number;
  #text = '';
  #lines = 0;
  #lost = 0;

  constructor(linesMax: number = LINES_MAX) {
    this.#linesMax = linesMax;
  }

  /** Characters waiting; a good moment to take the batch is when this passes some 16 K. */
  get pending(): number {
    return this.#text.length;
  }

  writeLine(line: string): void {
    if (this.#lines >= this.#linesMax || this.#text.length + line.length >= CHARACTERS_MAX) {
      this.#lost++;
      return;
    }
    this.#text += `${line}\n`;
    this.#lines++;
  }

  /** Takes over what another one has collected, as far as it fits. */
  writeBatch({ text, lines, lost }: LineBatch): void {
    this.#lost += lost;
    if (this.#lines + lines > this.#linesMax || this.#text.length + text.length > CHARACTERS_MAX) {
      for (const line of text.split('\n')) if (line !== '') this.writeLine(line);
      return;
    }
    this.#text += text;
    this.#lines += lines;
  }

  /** Everything collected so far; undefined when there is nothing. */
  take(): LineBatch | undefined {
    if (this.#lines === 0 && this.#lost === 0) return undefined;
    const batch = { text: this.#text, lines: this.#lines, lost: this.#lost };
    this.#text = '';
    this.#lines = 0;
    this.#lost = 0;
    return batch;
  }
}

/**
 * Writes lines to a descriptor (standard output) without blocking the thread: one write at a time,
 * everything that came in meanwhile goes out with the next. The queue is bounded; a reader that is
 * too slow loses lines, is told how many, and {@link LineWriter.lost} counts them.
 */
export class LineWriter implements LineSink {
  /** Lines that were never written, since the start. */
  lost = 0;
  readonly #fd: number;
  readonly #lostNotice: (lines: number) => string;
  readonly #collected: LineCollector;
  /** What is being written; empty when no write is on its way. */
  #outgoing: Buffer = Buffer.alloc(0);
  #outgoingLines = 0;
  #lostUntold = 0;
  readonly #waiting: Array<() => void> = [];

  /** `lostNotice` makes the line that tells the reader how many lines are missing. */
  constructor(fd: number, lostNotice: (lines: number) => string, linesMax: number = LINES_MAX) {
    this.#fd = fd;
    this.#lostNotice = lostNotice;
    this.#collected = new LineCollector(linesMax);
  }

  writeLine(line: string): void {
    this.#collected.writeLine(line);
    this.#next();
  }

  /** Writes what another thread collected. */
  writeBatch(batch: LineBatch): void {
    this.#collected.writeBatch(batch);
    this.#next();
  }

  /** Resolves when everything that was given so far is written, or lost because nobody reads. */
  async flush(): Promise<void> {
    if (this.#outgoing.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    await promise;
  }

  /** Last words, before the process ends: writes what is left at once and gives up on any error. */
  flushSync(): void {
    const rest = this.#take();
    const last = Buffer.concat([this.#outgoing, Buffer.from(rest)]);
    this.#outgoing = Buffer.alloc(0);
    try {
      for (let at = 0; at < last.length; ) at += writeSync(this.#fd, last, at);
    } catch {
      // The process is about to end and its reader is gone or full: there is nowhere to report to.
    }
  }

  #next(): void {
    if (this.#outgoing.length > 0) return;
    const text = this.#take();
    if (text === '') return;
    this.#outgoing = Buffer.from(text);
    this.#send();
  }

  #take(): string {
    const batch = this.#collected.take();
    if (batch === undefined) return '';
    this.#countLost(batch.lost);
    this.#outgoingLines = batch.lines;
    const notice = this.#lostUntold === 0 ? '' : `${this.#lostNotice(this.#lostUntold)}\n`;
    this.#lostUntold = 0;
    return batch.text + notice;
  }

  #send(): void {
    write(this.#fd, this.#outgoing, (error, written) => this.#onWritten(error, written));
  }

  #onWritten(error: NodeJS.ErrnoException | null, written: number): void {
    if (this.#outgoing.length === 0) return; // flushSync() took it over
    if (error?.code === 'EAGAIN') {
      setTimeout(() => this.#send(), RETRY_MS);
      return;
    }
    if (error !== null) this.#countLost(this.#outgoingLines); // EPIPE: the reader is gone
    this.#outgoing = error === null ? this.#outgoing.subarray(written) : Buffer.alloc(0);
    if (this.#outgoing.length > 0) return this.#send();
    this.#next();
    if (this.#outgoing.length === 0) this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #countLost(lines: number): void {
    this.lost += lines;
    this.#lostUntold += lines;
  }
}
