/** What wrk printed, as numbers. */
export interface WrkResult {
  readonly requestsPerSecond: number;
  readonly requests: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Socket errors and answers other than 2xx and 3xx; a figure with any is not one to compare. */
  readonly problems: readonly string[];
}

/** What one stream of iperf3 carried, as the receiving side counted it. */
export interface StreamResult {
  readonly bitsPerSecond: number;
  readonly bytes: number;
}

export type Parsed<T> = { readonly kind: 'ok'; readonly result: T } | UnreadableOutput;

export interface UnreadableOutput {
  readonly kind: 'unreadable';
  readonly why: string;
}

const microsecondsPer: ReadonlyMap<string, number> = new Map([
  ['us', 1],
  ['ms', 1e3],
  ['s', 1e6],
  ['m', 6e7],
]);

/** Reads the output of `wrk --latency`. */
export function parseWrk(output: string): Parsed<WrkResult> {
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(output)?.[1];
  const requests = /^\s+(\d+) requests in /m.exec(output)?.[1];
  const p50Us = latencyUs(output, 50);
  const p99Us = latencyUs(output, 99);
  if (rate === undefined || requests === undefined || p50Us === undefined || p99Us === undefined) {
    return unreadable(`Cannot read the output of wrk: ${output.trim()}`);
  }
  const problems = [...output.matchAll(/^\s*((?:Socket errors|Non-2xx or 3xx responses): .*)$/gm)];
  return {
    kind: 'ok',
    result: {
      requestsPerSecond: Number(rate),
      requests: Number(requests),
      p50Us,
      p99Us,
      problems: problems.map((match) => match[1] ?? ''),
    },
  };
}

/** Reads the output of `iperf3 --json`. */
export function parseIperf(output: string): Parsed<StreamResult> {
  let report: unknown;
  try {
    report = JSON.parse(output);
  } catch {
    return unreadable(`Cannot read the output of iperf3: want JSON, got "${output.slice(0, 200)}"`);
  }
  const error = property(report, 'error');
  if (typeof error === 'string') return unreadable(`iperf3 failed: ${error}`);
  const received = property(property(report, 'end'), 'sum_received');
  const bytes = property(received, 'bytes');
  const bitsPerSecond = property(received, 'bits_per_second');
  if (typeof bytes !== 'number' || typeof bitsPerSecond !== 'number' || bytes === 0) {
    return unreadable('iperf3 reports no bytes received in "end.sum_received"');
  }
  return { kind: 'ok', result: { bitsPerSecond, bytes } };
}

function unreadable(why: string): UnreadableOutput {
  return { kind: 'unreadable', why };
}

function latencyUs(output: string, percent: number): number | undefined {
  const match = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, 'm').exec(output);
  const unit = microsecondsPer.get(match?.[2] ?? '');
  return unit === undefined ? undefined : Number(match?.[1]) * unit;
}

function property(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
