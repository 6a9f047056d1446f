import { closeSync, createReadStream, existsSync, openSync, readSync, statSync } from 'node:fs';
import type { Writable } from 'node:stream';

import { type LogLine, parseLogLine, rotatedFiles } from './log-file.ts';

/** What of a log is wanted; the names are those of the API. */
export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** Lines; undefined: all. */
  readonly tailLines: number | undefined;
  readonly sinceMs: number | undefined;
  readonly limitBytes: number | undefined;
}

/** Lines that are kept to find the last ones. */
const TAIL_LINES_MAX = 1_000_000;
const CHUNK_BYTES = 64 << 10;
/** How often a followed file is looked at. */
const POLL_MS = 100;

/**
 * Writes a container's log to `out`; when following, until `isOver` says that nothing more will come, or the signal
 * ends it. Answers when all has been handed over.
 */
export async function readLog(
  path: string,
  options: LogOptions,
  out: Writable,
  end: { readonly isOver: () => boolean; readonly signal: AbortSignal },
): Promise<void> {
  const sink = new LogSink(options, out);
  const old = existsSync(path) ? rotatedFiles(path) : [];
  const first: LogLine[] = [];
  for (const file of old) await readWhole(file, (line) => keep(first, line, options));
  const follower = new Follower(path);
  follower.read((line) => keep(first, line, options));
  const { tailLines = first.length } = options;
  for (const line of tailLines === 0 ? [] : lastWhole(first, tailLines)) sink.write(line);
  while (options.follow && !sink.full && !end.signal.aborted) {
    const isOver = end.isOver();
    follower.read((line) => sink.write(line));
    if (isOver) break;
    if (out.writableNeedDrain) await once(out, 'drain', end.signal);
    else await pause(end.signal);
  }
  follower.close();
}

/** The last so many lines: pieces of one line count as one. */
function lastWhole(lines: readonly LogLine[], count: number): readonly LogLine[] {
  let start = lines.length;
  let left = count;
  while (start > 0) {
    if (lines[start - 1]?.whole === true) {
      if (left === 0) break;
      left -= 1;
    }
    start -= 1;
  }
  return lines.slice(start);
}

function keep(lines: LogLine[], line: LogLine, { sinceMs }: LogOptions): void {
  if (sinceMs !== undefined && Date.parse(line.time) < sinceMs) return;
  lines.push(line);
  if (lines.length > TAIL_LINES_MAX) lines.shift();
}

class LogSink {
  full = false;
  readonly #options: LogOptions;
  readonly #out: Writable;
  #left: number;
  #atStart = true;

  constructor(options: LogOptions, out: Writable) {
    this.#options = options;
    this.#out = out;
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  write({ time, text, whole }: LogLine): void {
    if (this.full) return;
    const head = this.#options.timestamps && this.#atStart ? `${time} ` : '';
    this.#atStart = whole;
    const bytes = Buffer.concat([Buffer.from(head), text, Buffer.from(whole ? '\n' : '')]);
    const part = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    this.#left -= part.length;
    this.full = this.#left === 0;
    this.#out.write(part);
  }
}

/** Reads what is added to a file; goes over to the new one when it is put aside. */
class Follower {
  readonly #path: string;
  #fd: number | undefined;
  #inode = 0;
  #pending = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  read(take: (line: LogLine) => void): void {
    this.#open();
    if (this.#fd === undefined) return;
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      const size = readSync(this.#fd, chunk);
      if (size > 0) this.#split(chunk.subarray(0, size), take);
      else if (!this.#isReplaced()) return;
      else {
        this.close();
        this.#open();
        if (this.#fd === undefined) return;
      }
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): void {
    if (this.#fd !== undefined || !existsSync(this.#path)) return;
    this.#fd = openSync(this.#path, 'r');
    this.#inode = statSync(this.#path).ino;
  }

  #isReplaced(): boolean {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    return stat !== undefined && stat.ino !== this.#inode;
  }

  #split(chunk: Buffer, take: (line: LogLine) => void): void {
    const bytes = Buffer.concat([this.#pending, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      const line = parseLogLine(Buffer.from(bytes.subarray(start, end)));
      if (line !== undefined) take(line);
      start = end + 1;
    }
    this.#pending = Buffer.from(bytes.subarray(start));
  }
}

async function readWhole(path: string, take: (line: LogLine) => void): Promise<void> {
  let pending = Buffer.alloc(0);
  for await (const chunk of createReadStream(path)) {
    const bytes = Buffer.concat([pending, chunk as Buffer]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      const line = parseLogLine(Buffer.from(bytes.subarray(start, end)));
      if (line !== undefined) take(line);
      start = end + 1;
    }
    pending = Buffer.from(bytes.subarray(start));
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, POLL_MS);
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}

async function once(out: Writable, name: 'drain', signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  out.once(name, () => resolve());
  out.once('close', () => resolve());
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}
