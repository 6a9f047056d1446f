import { type Figure, type FigureKey, figures, type Sample, type Target } from './figures.ts';

/** One figure over all rounds of one column. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly rounds: number;
}

/** The name of the column without any proxy: what the machine itself can do. */
export const DIRECT = 'direct' as const;
/** The name of the column that targets compare ours with. */
export const BASELINE = 'haproxy' as const;
/** The name of the column of this project's node tunnel. */
export const OURS = 'ours' as const;

export type Verdict = 'met' | 'missed';

/** One line of the result: a figure, its value in each column, and how ours compares. */
export interface Row {
  readonly key: FigureKey;
  readonly columns: ReadonlyMap<string, Spread>;
  /** Ratio of the medians ours/haproxy; absent when either is. */
  readonly ratio?: number;
  /** Absent when the figure has no target or there is no ratio. */
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
export function summarise(samples: ReadonlyMap<string, readonly Sample[]>): Row[] {
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
    if (columns.size > 0) rows.push(compare(figure, columns));
  }
  return rows;
}

/** Whether a ratio is within its bound; the bound itself is within. */
export function judge(ratio: number, target: Target): Verdict {
  const enough = target.atLeast === undefined || ratio >= target.atLeast;
  const littleEnough = target.atMost === undefined || ratio <= target.atMost;
  return enough && littleEnough ? 'met' : 'missed';
}

function compare(figure: Figure, columns: ReadonlyMap<string, Spread>): Row {
  const ours = columns.get(OURS)?.median;
  const baseline = columns.get(BASELINE)?.median;
  if (ours === undefined || baseline === undefined || baseline === 0) {
    return { key: figure.key, columns };
  }
  const ratio = ours / baseline;
  if (figure.target === undefined) return { key: figure.key, columns, ratio };
  return { key: figure.key, columns, ratio, verdict: judge(ratio, figure.target) };
}
