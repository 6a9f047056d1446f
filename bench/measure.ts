import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { FigureGroup, Sample } from './figures.ts';
import { type Parsed, parseIperf, parseWrk, type WrkResult } from './load-output.ts';
import { cpuSecondsOf, pssBytesOf } from './processes.ts';
import { percentAbove } from './statistics.ts';
import { type BenchWorld, WEB_PATH } from './world.ts';

/** The proxies of one column, running, and how the load reaches the servers through them. */
export interface Path {
  /** Processes whose CPU time and memory are measured; their children count with them. May be empty. */
  readonly pids: readonly number[];
  /** Further proxies that the traffic must pass through. */
  readonly others?: readonly number[];
  /** Address that the client connects to. */
  readonly address: string;
  readonly webPort: number;
  readonly streamPort: number;
  /** Settles when the proxy has so many routing rules. Absent: it can't be told. */
  readonly rules?: (count: number) => Promise<void>;
}

export interface Measured {
  readonly sample: Sample;
  /** What was wrong with the run, such as failed requests: its figures are not to be trusted then. */
  readonly problems: readonly string[];
}

type Figures = { -readonly [Key in keyof Sample]: Sample[Key] };

const BUSY_CONNECTIONS = 64;
const NEW_CONNECTIONS_AT_ONCE = 16;
const IDLE_CONNECTIONS = 2000;
const MANY_RULES = 1000;
/** Few rules and many take turns, each first as often as second: neither has the warmer program or the busier machine. */
const RULE_TURNS = ['few', 'many', 'many', 'few', 'few', 'many', 'many', 'few'] as const;
/** For allocators and collectors to come to rest before memory is read. */
const SETTLE_MS = 1500;
/** On top of the load's own time. */
const LOAD_DEADLINE_MS = 30_000;

const MB = 1 << 20;
const KB = 1 << 10;
const GB = 1e9;

/** Measures the chosen groups, one after the other, on proxies that have just been started. */
export async function measure(
  bench: BenchWorld,
  path: Path,
  options: {
    readonly seconds: number;
    readonly groups: readonly FigureGroup[];
    readonly warm: boolean;
  },
): Promise<Measured> {
  const run = new Run(bench, path, options.seconds);
  if (options.groups.includes('memory')) run.measureRest();
  if (options.warm && options.groups.some((group) => group !== 'memory')) await run.warmUp();
  if (options.groups.includes('requests')) await run.measureRequests();
  if (options.groups.includes('latency')) await run.measureLatency();
  if (options.groups.includes('connections')) await run.measureConnections();
  if (options.groups.includes('stream')) await run.measureStream();
  if (options.groups.includes('memory')) await run.measureIdle();
  if (options.groups.includes('rules')) await run.measureRules();
  return { sample: run.figures, problems: run.problems };
}

/** The load of requests. */
export function wrkCommand(
  { address, webPort }: Path,
  of: {
    readonly connections?: number;
    readonly seconds: number;
    readonly extra?: readonly string[];
  },
): readonly string[] {
  const { connections = BUSY_CONNECTIONS, seconds, extra = [] } = of;
  const size = ['--threads', '1', '--connections', String(connections)];
  const url = `http://${address}:${webPort}${WEB_PATH}`;
  return ['wrk', ...size, '--duration', `${seconds}s`, '--latency', ...extra, url];
}

class Run {
  readonly figures: Figures = {};
  readonly problems: string[] = [];
  readonly #bench: BenchWorld;
  readonly #path: Path;
  readonly #seconds: number;

  constructor(bench: BenchWorld, path: Path, seconds: number) {
    this.#bench = bench;
    this.#path = path;
    this.#seconds = seconds;
  }

  measureRest(): void {
    if (this.#hasProxies) this.figures.restMb = pssBytesOf(this.#path.pids) / MB;
  }

  async warmUp(): Promise<void> {
    await this.#load(BUSY_CONNECTIONS);
  }

  async measureRequests(): Promise<void> {
    const { result, cpuSeconds } = await this.#load(BUSY_CONNECTIONS);
    this.figures.requestsPerSecond = result.requestsPerSecond;
    this.figures.p99At64Us = result.p99Us;
    if (this.#hasProxies) {
      this.figures.cpuSecondsPer100kRequests = (cpuSeconds / result.requests) * 1e5;
    }
  }

  async measureLatency(): Promise<void> {
    const { result } = await this.#load(1);
    this.figures.p50Us = result.p50Us;
    this.figures.p99Us = result.p99Us;
  }

  async measureConnections(): Promise<void> {
    const perRequest = ['--header', 'Connection: close'];
    const { result, cpuSeconds } = await this.#load(NEW_CONNECTIONS_AT_ONCE, perRequest);
    this.figures.connectionsPerSecond = result.requestsPerSecond;
    if (this.#hasProxies) {
      this.figures.cpuSecondsPer10kConnections = (cpuSeconds / result.requests) * 1e4;
    }
  }

  async measureStream(): Promise<void> {
    const up = await this.#stream([]);
    this.figures.gigabitsUp = up.gigabits;
    const down = await this.#stream(['--reverse']);
    this.figures.gigabitsDown = down.gigabits;
    if (!this.#hasProxies) return;
    this.figures.cpuSecondsPerGbUp = up.cpuSecondsPerGb;
    this.figures.cpuSecondsPerGbDown = down.cpuSecondsPerGb;
  }

  /** Memory of connections that have carried one request and are quiet since. */
  async measureIdle(): Promise<void> {
    if (!this.#hasProxies) return;
    const before = pssBytesOf(this.#path.pids);
    const program = fileURLToPath(new URL('idle-connections.ts', import.meta.url));
    const target = [this.#path.address, String(this.#path.webPort)];
    const command = [process.execPath, program, ...target, String(IDLE_CONNECTIONS), WEB_PATH];
    const holder = this.#bench.world.start(this.#bench.client, command);
    try {
      await holder.waitFor(/^up$/, LOAD_DEADLINE_MS);
      await sleep(SETTLE_MS);
      const grown = pssBytesOf(this.#path.pids) - before;
      if (holder.running) this.figures.kbPerIdleConnection = grown / KB / IDLE_CONNECTIONS;
      else this.problems.push(`Idle connections did not stay: ${holder.lines.slice(-3).join(' ')}`);
    } finally {
      await holder.stop();
    }
  }

  /** What a request costs with many rules, against one. */
  async measureRules(): Promise<void> {
    const { rules } = this.#path;
    if (rules === undefined) return;
    const perRequest = { few: [] as number[], many: [] as number[] };
    for (const kind of RULE_TURNS) {
      await rules(kind === 'many' ? MANY_RULES : 1);
      const { result, cpuSeconds } = await this.#load(BUSY_CONNECTIONS);
      perRequest[kind].push(cpuSeconds / result.requests);
    }
    await rules(1);
    const percent = percentAbove(perRequest.many, perRequest.few);
    if (percent !== undefined) this.figures.percentByRules = percent;
  }

  get #hasProxies(): boolean {
    return this.#path.pids.length > 0;
  }

  async #load(
    connections: number,
    extra: readonly string[] = [],
  ): Promise<{ readonly result: WrkResult; readonly cpuSeconds: number }> {
    const command = wrkCommand(this.#path, { connections, seconds: this.#seconds, extra });
    const { result, cpuSeconds } = await this.#timed(command, parseWrk);
    this.problems.push(...result.problems.map((each) => `${connections} connections: ${each}`));
    return { result, cpuSeconds };
  }

  async #stream(
    extra: readonly string[],
  ): Promise<{ readonly gigabits: number; readonly cpuSecondsPerGb: number }> {
    const { address, streamPort } = this.#path;
    const target = ['--client', address, '--port', String(streamPort)];
    const command = ['iperf3', '--json', ...target, '--time', String(this.#seconds), ...extra];
    const { result, cpuSeconds } = await this.#timed(command, parseIperf);
    return {
      gigabits: result.bitsPerSecond / 1e9,
      cpuSecondsPerGb: cpuSeconds / (result.bytes / GB),
    };
  }

  /** Runs one load to its end, and what the proxies spent meanwhile. */
  async #timed<T>(
    command: readonly string[],
    parse: (output: string) => Parsed<T>,
  ): Promise<{ readonly result: T; readonly cpuSeconds: number }> {
    const { world, client } = this.#bench;
    const { pids, others = [] } = this.#path;
    const all = [...pids, ...others];
    const before = all.map((pid) => cpuSecondsOf([pid]));
    const deadlineMs = this.#seconds * 1000 + LOAD_DEADLINE_MS;
    const { stdout, stderr } = await world.run(client, command, { deadlineMs });
    const spent = all.map((pid, index) => cpuSecondsOf([pid]) - (before[index] ?? 0));
    const parsed = parse(stdout === '' ? stderr : stdout);
    if (parsed.kind === 'unreadable') throw new Error(parsed.why);
    // A figure of a path that the traffic did not take would look splendid.
    if (spent.some((seconds) => seconds <= 0)) {
      this.problems.push(`"${command[0]}" did not pass through every proxy: one used no CPU time`);
    }
    const measured = spent.slice(0, pids.length);
    return {
      result: parsed.result,
      cpuSeconds: measured.reduce((sum, seconds) => sum + seconds, 0),
    };
  }
}
