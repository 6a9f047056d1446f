import type { Comparison, Figure, FigureKey, Sample, Target } from './figures.ts';

/** One figure over all rounds of one column. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly rounds: number;
}

/** The name of the column without the proxy that is measured: what the rest of the path can do. */
export const DIRECT = 'direct' as const;
/** The name of the column of this project's proxy. */
export const OURS = 'ours' as const;
/** The name of the column of this project's waypoint with its access log, which in the other column it has as little as Envoy. */
export const LOGGED = 'logged' as const;

export type Verdict = 'met' | 'missed';

/** One line of the result: a figure, its value in each column, and how ours compares. */
export interface Row {
  readonly key: FigureKey;
  readonly columns: ReadonlyMap<string, Spread>;
  /** Ratio of the medians ours/baseline; absent when either is. */
  readonly ratio?: number;
  /** Absent when the figure has no target, or nothing that it could be judged by. */
  readonly verdict?: Verdict;
}

/** The middle value; the mean of the two middle ones when their number is even. Undefined for none. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined || sorted.length % 2 === 1) return upper;
  return (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/** Median and range of one figure; undefined when no round measured it. */
export function spread(values: readonly number[]): Spread | undefined {
  const middle = median(values);
  if (middle === undefined) return undefined;
  return {
    median: middle,
    least: Math.min(...values),
    most: Math.max(...values),
    rounds: values.length,
  };
}

/**
 * Joins the samples of all rounds, by column name, to one row per figure that any column has.
 * Columns keep the order of the map.
 */
export function summarise(
  samples: ReadonlyMap<string, readonly Sample[]>,
  { baseline, figures }: Comparison,
): Row[] {
  const rows: Row[] = [];
  for (const figure of figures) {
    const columns = new Map<string, Spread>();
    for (const [name, rounds] of samples) {
      const values = rounds
        .map((round) => round[figure.key])
        .filter((value) => value !== undefined);
      const found = spread(values);
      if (found !== undefined) columns.set(name, found);
    }
    if (columns.size > 0) rows.push(compare(figure, columns, baseline));
  }
  return rows;
}

/** How much more the median of some values is than that of others, in percent; undefined when there are none. */
export function percentAbove(
  values: readonly number[],
  others: readonly number[],
): number | undefined {
  const [value, other] = [median(values), median(others)];
  return value === undefined || other === undefined ? undefined : (value / other - 1) * 100;
}

/** The samples of one round, by column, each with what its p50 is above that of the column without the proxy. */
export function withAddedLatency(round: ReadonlyMap<string, Sample>): ReadonlyMap<string, Sample> {
  const base = round.get(DIRECT)?.p50Us;
  const added = (name: string, sample: Sample): Sample =>
    name === DIRECT || base === undefined || sample.p50Us === undefined
      ? sample
      : { ...sample, addedP50Us: sample.p50Us - base };
  return new Map([...round].map(([name, sample]) => [name, added(name, sample)]));
}

/** Whether a value is within its bound; the bound itself is within. */
export function judge(value: number, target: Target): Verdict {
  const enough = target.atLeast === undefined || value >= target.atLeast;
  const littleEnough = target.atMost === undefined || value <= target.atMost;
  return enough && littleEnough ? 'met' : 'missed';
}

function compare(
  { key, target }: Figure,
  columns: ReadonlyMap<string, Spread>,
  baseline: string,
): Row {
  const ours = columns.get(OURS)?.median;
  const theirs = columns.get(baseline)?.median;
  const ratio =
    ours === undefined || theirs === undefined || theirs === 0 ? undefined : ours / theirs;
  const judged = target?.of === 'ours' ? ours : ratio;
  return {
    key,
    columns,
    ...(ratio === undefined ? {} : { ratio }),
    ...(judged === undefined || target === undefined ? {} : { verdict: judge(judged, target) }),
  };
}
