import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The kubelet's defaults (`containerLogMaxSize`, `containerLogMaxFiles`). */
const SIZE_BYTES_MAX = 10 << 20;
const FILES_MAX = 5;
/** Longer lines are written in pieces, as container runtimes do. */
const LINE_BYTES_MAX = 16 << 10;

export type LogStream = 'stdout' | 'stderr';

/**
 * What a container says, in the format of container runtimes: time, stream, `F` or (the line goes on) `P`, text. The file
 * is put aside when it becomes large; a few old ones are kept.
 */
export class LogFile {
  readonly #path: string;
  readonly #now: () => Date;
  readonly #sizeMax: number;
  readonly #pending: Record<LogStream, Buffer> = {
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
  };
  #fd: number;
  #size = 0;

  constructor(path: string, now: () => Date = () => new Date(), sizeMax: number = SIZE_BYTES_MAX) {
    this.#path = path;
    this.#now = now;
    this.#sizeMax = sizeMax;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, 'a', 0o640);
  }

  write(stream: LogStream, chunk: Buffer): void {
    const { lines, rest } = splitLines(Buffer.concat([this.#pending[stream], chunk]));
    this.#pending[stream] = rest;
    this.#append(lines.map(({ text, whole }) => formatLine(this.#now(), stream, text, whole)));
  }

  /** Writes what came without a line end, and closes the file. */
  close(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#pending[stream];
      if (rest.length > 0) this.#append([formatLine(this.#now(), stream, rest, true)]);
      this.#pending[stream] = Buffer.alloc(0);
    }
    closeSync(this.#fd);
  }

  #append(lines: readonly Buffer[]): void {
    if (lines.length === 0) return;
    if (this.#size > this.#sizeMax) this.#rotate();
    const bytes = Buffer.concat(lines);
    writeSync(this.#fd, bytes);
    this.#size += bytes.length;
  }

  #rotate(): void {
    closeSync(this.#fd);
    const stamp = this.#now()
      .toISOString()
      .replaceAll(/[-:.TZ]/g, '');
    renameSync(this.#path, `${this.#path}.${stamp}`);
    const old = rotatedFiles(this.#path);
    for (const path of old.slice(0, Math.max(0, old.length - (FILES_MAX - 1)))) rmSync(path);
    this.#fd = openSync(this.#path, 'a', 0o640);
    this.#size = 0;
  }
}

/** The files that were put aside for `path`, oldest first. */
export function rotatedFiles(path: string): readonly string[] {
  const directory = dirname(path);
  return readdirSync(directory)
    .filter((name) => name.startsWith(`${basename(path)}.`))
    .toSorted()
    .map((name) => join(directory, name));
}

interface Piece {
  readonly text: Buffer;
  readonly whole: boolean;
}

/** Lines without their ends; a line that is too long comes in pieces. */
function splitLines(bytes: Buffer): { lines: readonly Piece[]; rest: Buffer } {
  const lines: Piece[] = [];
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(0x0a, start);
    const length = (end < 0 ? bytes.length : end) - start;
    if (length > LINE_BYTES_MAX) {
      lines.push({ text: bytes.subarray(start, start + LINE_BYTES_MAX), whole: false });
      start += LINE_BYTES_MAX;
    } else if (end < 0) {
      return { lines, rest: Buffer.from(bytes.subarray(start)) };
    } else {
      lines.push({ text: bytes.subarray(start, end), whole: true });
      start = end + 1;
    }
  }
}

function formatLine(at: Date, stream: LogStream, text: Buffer, whole: boolean): Buffer {
  const time = at.toISOString().replace('Z', '000000Z');
  return Buffer.concat([
    Buffer.from(`${time} ${stream} ${whole ? 'F' : 'P'} `),
    text,
    Buffer.from('\n'),
  ]);
}

/** A line of such a file. */
export interface LogLine {
  readonly time: string;
  readonly stream: LogStream;
  readonly whole: boolean;
  readonly text: Buffer;
}

/** Reads one line, without its end; undefined when it is not one. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const head = /^(\S+) (stdout|stderr) ([FP]) /.exec(line.subarray(0, 64).toString('latin1'));
  if (head === null) return undefined;
  const [all, time = '', stream, tag] = head;
  return {
    time,
    stream: stream as LogStream,
    whole: tag === 'F',
    text: line.subarray(all.length),
  };
}
