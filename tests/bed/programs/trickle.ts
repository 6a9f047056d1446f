// New connections, one after the other at a steady pace: each asks an HTTP service once and is closed.
//
//   node tests/bed/programs/trickle.ts HOST PORT PATH EVERY_MS
//
// A line on standard input is answered with one line of JSON, the `Trickle` so far; the end of standard input
// ends it after one last line.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

export interface Trickle {
  readonly connections: number;
  /** Connections that got no complete answer. */
  readonly errors: number;
  /** Longest time from connect to the end of the answer, since the last line. */
  readonly slowestMs: number;
  readonly reasons: readonly string[];
}

const REASONS_MAX = 5;
const ANSWER_DEADLINE_MS = 5_000;

const [host = '', port = '', path = '/', everyMs = '20'] = process.argv.slice(2);
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
const count = { connections: 0, errors: 0, slowestMs: 0 };
const reasons: string[] = [];

function ask(): void {
  const startedMs = performance.now();
  const socket = connect({ host, port: Number(port) });
  let answer = '';
  let failed: string | undefined;
  socket.setTimeout(ANSWER_DEADLINE_MS, () => socket.destroy(new Error('no answer in time')));
  socket.setEncoding('latin1');
  socket.on('connect', () => socket.write(request));
  socket.on('data', (chunk: string) => {
    answer += chunk;
  });
  socket.on('error', (error) => {
    failed = error.message;
  });
  socket.on('close', () => {
    count.connections++;
    count.slowestMs = Math.max(count.slowestMs, performance.now() - startedMs);
    const complete = answer.startsWith('HTTP/1.1 200') && answer.includes('\r\n\r\n');
    if (failed === undefined && complete) return;
    count.errors++;
    if (reasons.length < REASONS_MAX)
      reasons.push(failed ?? `incomplete answer: ${answer.slice(0, 40)}`);
  });
}

function tally(): string {
  const now: Trickle = { ...count, slowestMs: Math.round(count.slowestMs), reasons };
  count.slowestMs = 0;
  return `${JSON.stringify(now)}\n`;
}

const timer = setInterval(ask, Number(everyMs));
const commands = createInterface({ input: process.stdin });
commands.on('line', () => process.stdout.write(tally()));
commands.on('close', () => {
  clearInterval(timer);
  process.stdout.write(tally());
});
