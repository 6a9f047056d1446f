/** What is measured together; `--only` chooses among these. */
export type FigureGroup = 'requests' | 'latency' | 'connections' | 'stream' | 'memory';

export type FigureKey =
  | 'requestsPerSecond'
  | 'p99At64Us'
  | 'cpuSecondsPer100kRequests'
  | 'p50Us'
  | 'p99Us'
  | 'connectionsPerSecond'
  | 'cpuSecondsPer10kConnections'
  | 'gigabitsUp'
  | 'cpuSecondsPerGbUp'
  | 'gigabitsDown'
  | 'cpuSecondsPerGbDown'
  | 'restMb'
  | 'kbPerIdleConnection';

/** One column's figures of one round; a group that was not measured is absent. */
export type Sample = Partial<Readonly<Record<FigureKey, number>>>;

/** A bound for the ratio ours/haproxy. */
export interface Target {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One line of the table. */
export interface Figure {
  readonly key: FigureKey;
  readonly group: FigureGroup;
  readonly title: string;
  /** Digits after the decimal point when printed. */
  readonly decimals: number;
  readonly target?: Target;
}

/**
 * Every figure, in the order of the table. Figures of processes (CPU, memory) count both proxies
 * of the path together: the client's and the server's.
 */
export const figures: readonly Figure[] = [
  {
    key: 'requestsPerSecond',
    group: 'requests',
    title: 'requests/s, 64 connections',
    decimals: 0,
    target: { atLeast: 1 },
  },
  {
    key: 'p99At64Us',
    group: 'requests',
    title: 'p99 at 64 connections, µs',
    decimals: 0,
  },
  {
    key: 'cpuSecondsPer100kRequests',
    group: 'requests',
    title: 'CPU s per 100,000 requests',
    decimals: 2,
    target: { atMost: 0.8 },
  },
  {
    key: 'p50Us',
    group: 'latency',
    title: 'p50 at one connection, µs',
    decimals: 0,
    target: { atMost: 1 },
  },
  { key: 'p99Us', group: 'latency', title: 'p99 at one connection, µs', decimals: 0 },
  {
    key: 'connectionsPerSecond',
    group: 'connections',
    title: 'new connections/s',
    decimals: 0,
  },
  {
    key: 'cpuSecondsPer10kConnections',
    group: 'connections',
    title: 'CPU s per 10,000 connections',
    decimals: 2,
  },
  { key: 'gigabitsUp', group: 'stream', title: 'Gbit/s, one stream up', decimals: 2 },
  {
    key: 'cpuSecondsPerGbUp',
    group: 'stream',
    title: 'CPU s per GB, up',
    decimals: 2,
    target: { atMost: 0.75 },
  },
  { key: 'gigabitsDown', group: 'stream', title: 'Gbit/s, one stream down', decimals: 2 },
  {
    key: 'cpuSecondsPerGbDown',
    group: 'stream',
    title: 'CPU s per GB, down',
    decimals: 2,
    target: { atMost: 0.75 },
  },
  { key: 'restMb', group: 'memory', title: 'MB at rest (PSS)', decimals: 0 },
  {
    key: 'kbPerIdleConnection',
    group: 'memory',
    title: 'KB per idle connection (PSS)',
    decimals: 1,
  },
];

/** Every group, in the order in which it is measured. */
export const figureGroups: readonly FigureGroup[] = [
  'requests',
  'latency',
  'connections',
  'stream',
  'memory',
];
