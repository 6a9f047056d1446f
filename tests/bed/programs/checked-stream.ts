// A stream without an end through an echo service: sends a pattern, as fast as it is taken or at a given rate,
// and checks every byte that comes back.
//
//   node tests/bed/programs/checked-stream.ts HOST PORT [MEGABYTES_PER_SECOND]
//
// Prints `running` after the first megabyte. A line on standard input is answered with one line of JSON, the
// `Checked` so far; the end of standard input ends it.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

export interface Checked {
  /** Bytes that came back right. */
  readonly bytes: number;
  readonly errors: readonly string[];
  /** Longest time in which nothing came back, since the last line. */
  readonly slowestMs: number;
}

/** Not a power of two, so that a lost or doubled block of any usual size shifts the pattern. */
const PERIOD = 65_521;
const CHUNK_BYTES = 262_144;
const RUNNING_BYTES = 1_000_000;

const [host = '', port = '', rate = 'unlimited'] = process.argv.slice(2);
const pattern = Buffer.alloc(
  PERIOD * 6,
  Buffer.from(Array.from({ length: PERIOD }, (_, at) => (at * 31 + (at >> 8)) & 0xff)),
);
const errors: string[] = [];
let sent = 0;
let checked = 0;
let slowestMs = 0;
const startedMs = performance.now();
let heardMs = startedMs;
let ending = false;

const socket = connect({ host, port: Number(port) }, send);

/** Chunks that may be sent by now. */
function allowance(): number {
  if (rate === 'unlimited') return Number.POSITIVE_INFINITY;
  return ((performance.now() - startedMs) * Number(rate) * 1_000) / CHUNK_BYTES;
}

function send(): void {
  while (sent / CHUNK_BYTES < allowance()) {
    const at = sent % PERIOD;
    const chunk = pattern.subarray(at, at + CHUNK_BYTES);
    sent += chunk.length;
    if (!socket.write(chunk)) return;
  }
  if (!socket.destroyed) setTimeout(send, 2);
}

socket.on('drain', send);
socket.on('data', (chunk: Buffer) => {
  const nowMs = performance.now();
  if (checked > RUNNING_BYTES) slowestMs = Math.max(slowestMs, nowMs - heardMs);
  heardMs = nowMs;
  for (let at = 0; at < chunk.length; ) {
    const from = (checked + at) % PERIOD;
    const length = Math.min(chunk.length - at, pattern.length - from);
    if (chunk.compare(pattern, from, from + length, at, at + length) !== 0) {
      errors.push(`a wrong byte after ${checked + at}`);
      socket.destroy();
      return;
    }
    at += length;
  }
  if (checked < RUNNING_BYTES && checked + chunk.length >= RUNNING_BYTES) {
    process.stdout.write('running\n');
  }
  checked += chunk.length;
});
socket.on('error', (error) => errors.push(error.message));
socket.on('close', () => {
  if (!ending && errors.length === 0) errors.push('the stream ended');
});

const commands = createInterface({ input: process.stdin });
commands.on('line', () => {
  const now: Checked = { bytes: checked, errors, slowestMs: Math.round(slowestMs) };
  slowestMs = 0;
  process.stdout.write(`${JSON.stringify(now)}\n`);
});
commands.on('close', () => {
  ending = true;
  socket.destroy();
});
