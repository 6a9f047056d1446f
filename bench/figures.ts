/** What is measured together; `--only` chooses among these. */
export type FigureGroup = 'requests' | 'latency' | 'connections' | 'stream' | 'memory' | 'rules';

export type FigureKey =
  | 'requestsPerSecond'
  | 'p99At64Us'
  | 'cpuSecondsPer100kRequests'
  | 'p50Us'
  | 'p99Us'
  | 'addedP50Us'
  | 'connectionsPerSecond'
  | 'cpuSecondsPer10kConnections'
  | 'gigabitsUp'
  | 'cpuSecondsPerGbUp'
  | 'gigabitsDown'
  | 'cpuSecondsPerGbDown'
  | 'restMb'
  | 'kbPerIdleConnection'
  | 'percentByRules';

/** One column's figures of one round; a group that was not measured is absent. */
export type Sample = Partial<Readonly<Record<FigureKey, number>>>;

/** A bound for the ratio ours/baseline, or for what is ours alone. */
export interface Target {
  readonly of?: 'ours';
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

/** What is compared with what. */
export interface Comparison {
  /** The column that targets compare ours with. */
  readonly baseline: string;
  /** The path that every column is a case of, for people. */
  readonly path: string;
  /** Whose CPU time and memory the figures are. */
  readonly whose: string;
  /** Whether there is a load of the same length before the first that is measured: what runs for months is measured warm. */
  readonly warm: boolean;
  /** In the order of the table. */
  readonly figures: readonly Figure[];
}

/** Figures of node tunnels: those of processes (CPU, memory) count the client's and the server's together. */
const tunnelFigures: readonly Figure[] = [
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

/** Figures of a waypoint: those of processes count it alone, the others the whole path. */
const waypointFigures: readonly Figure[] = [
  {
    key: 'requestsPerSecond',
    group: 'requests',
    title: 'requests/s, 64 connections',
    decimals: 0,
    target: { atLeast: 1.8 },
  },
  { key: 'p99At64Us', group: 'requests', title: 'p99 at 64 connections, µs', decimals: 0 },
  {
    key: 'cpuSecondsPer100kRequests',
    group: 'requests',
    title: 'CPU s per 100,000 requests',
    decimals: 2,
    target: { atMost: 0.3 },
  },
  { key: 'p50Us', group: 'latency', title: 'p50 at one connection, µs', decimals: 0 },
  {
    key: 'addedP50Us',
    group: 'latency',
    title: 'p50 above direct, µs',
    decimals: 0,
    target: { atMost: 0.55 },
  },
  { key: 'p99Us', group: 'latency', title: 'p99 at one connection, µs', decimals: 0 },
  {
    key: 'restMb',
    group: 'memory',
    title: 'MB at rest (PSS)',
    decimals: 0,
    target: { of: 'ours', atMost: 80 },
  },
  {
    key: 'kbPerIdleConnection',
    group: 'memory',
    title: 'KB per idle connection (PSS)',
    decimals: 1,
  },
  {
    key: 'percentByRules',
    group: 'rules',
    title: 'CPU of a request, % more by 1,000 rules',
    decimals: 1,
    target: { of: 'ours', atMost: 5 },
  },
];

export const tunnelComparison: Comparison = {
  baseline: 'haproxy',
  path: 'Two proxies in a row, mutual TLS between them',
  whose: 'both proxies together',
  warm: false,
  figures: tunnelFigures,
};
export const waypointComparison: Comparison = {
  baseline: 'envoy',
  path: 'A waypoint between two node tunnels, HTTP/1.1 with answers of 1 KB',
  whose: 'the waypoint alone',
  warm: true,
  figures: waypointFigures,
};

/** The groups of a comparison, in the order of its table. */
export function groupsOf({ figures }: Comparison): readonly FigureGroup[] {
  return [...new Set(figures.map(({ group }) => group))];
}
