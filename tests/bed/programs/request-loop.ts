// A user who notices everything: keeps connections busy with small HTTP requests, one after the other on
// each, and counts every request that fails and every connection that had to be opened again.
//
//   node tests/bed/programs/request-loop.ts HOST PORT PATH CONNECTIONS [PAUSE_MS]
//
// PAUSE_MS lies between an answer and the next request of a connection (default 0: as fast as it goes). With a
// pause the machine is not saturated, and `slowestMs` tells of the path instead of the queue for the processor.
//
// Prints `running` after the first answer on every connection. A line on standard input is answered with
// one line of JSON, the `Tally` so far; the end of standard input ends it after one last line.
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface Tally {
  readonly requests: number;
  /** Requests that got no complete, right answer. */
  readonly errors: number;
  /** Connections opened beyond the first of each. */
  readonly reconnects: number;
  /** Longest time from a request to its complete answer (or until now if it has none yet), since the last tally. */
  readonly slowestMs: number;
  /** Why the first few failed. */
  readonly reasons: readonly string[];
}

/** Before a broken connection is opened again: an outage must not become a flood. */
const RECONNECT_MS = 50;
const REASONS_MAX = 5;

const [host = '', port = '', path = '/', connections = '1', pauseMs = '0'] = process.argv.slice(2);
const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const count = { requests: 0, errors: 0, reconnects: 0, slowestMs: 0 };
const reasons: string[] = [];
const waitingForFirst = new Set<Caller>();
let ending = false;

/** One connection's worth of requests. Answers must have a Content-Length and all the same status. */
class Caller {
  #socket: Socket | undefined;
  #answer = Buffer.alloc(0);
  #sentAtMs = 0;
  #asking = false;
  #resting = false;

  /** Opens a connection for a request; `sinceMs` is when that was first tried. */
  open(sinceMs: number): void {
    const socket = connect(Number(port), host);
    this.#socket = socket;
    this.#answer = Buffer.alloc(0);
    this.#asking = true;
    this.#resting = false;
    this.#sentAtMs = sinceMs;
    socket.setNoDelay(true);
    socket.on('connect', () => socket.write(request));
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#onBroken(error.code ?? error.message),
    );
    socket.on('close', () => this.#onBroken('closed by the other side'));
  }

  /** How long the request that is open now has been waiting. */
  waitingMs(): number {
    return ending || this.#resting ? 0 : performance.now() - this.#sentAtMs;
  }

  close(): void {
    this.#asking = false;
    this.#socket?.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#answer = Buffer.concat([this.#answer, chunk]);
    const end = answerLength(this.#answer);
    if (end === undefined || this.#answer.length < end) return;
    if (!this.#answer.subarray(0, 12).equals(Buffer.from('HTTP/1.1 200'))) {
      note(`status ${this.#answer.subarray(9, 12).toString()}`);
    }
    this.#answer = this.#answer.subarray(end);
    count.requests++;
    count.slowestMs = Math.max(count.slowestMs, performance.now() - this.#sentAtMs);
    this.#resting = true;
    waitingForFirst.delete(this);
    if (waitingForFirst.size === 0) announce();
    if (pauseMs === '0') this.#ask();
    else setTimeout(() => this.#ask(), Number(pauseMs));
  }

  #ask(): void {
    this.#sentAtMs = performance.now();
    this.#resting = false;
    this.#socket?.write(request);
  }

  #onBroken(why: string): void {
    if (!this.#asking || ending) return;
    this.#asking = false;
    note(why);
    count.reconnects++;
    setTimeout(() => this.open(this.#sentAtMs), RECONNECT_MS);
  }
}

/** Length of the complete answer, head and body; undefined while the head is not there. */
function answerLength(bytes: Buffer): number | undefined {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const length = /content-length: (\d+)/i.exec(bytes.toString('latin1', 0, head))?.[1];
  return head + 4 + Number(length ?? 0);
}

function note(reason: string): void {
  count.errors++;
  if (reasons.length < REASONS_MAX) reasons.push(reason);
}

let announced = false;
function announce(): void {
  if (announced) return;
  announced = true;
  process.stdout.write('running\n');
}

function tally(): string {
  const slowestMs = Math.max(count.slowestMs, ...callers.map((caller) => caller.waitingMs()));
  const now: Tally = { ...count, slowestMs: Math.round(slowestMs * 10) / 10, reasons };
  count.slowestMs = 0;
  return `${JSON.stringify(now)}\n`;
}

const callers = Array.from({ length: Number(connections) }, () => new Caller());
for (const caller of callers) waitingForFirst.add(caller);
for (const caller of callers) caller.open(performance.now());
const commands = createInterface({ input: process.stdin });
commands.on('line', () => process.stdout.write(tally()));
commands.on('close', () => {
  ending = true;
  for (const caller of callers) caller.close();
  process.stdout.write(tally());
});
