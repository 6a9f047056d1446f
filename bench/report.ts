import type { Comparison, Figure, Target } from './figures.ts';
import { OURS, type Row, type Spread } from './statistics.ts';

/**
 * The result as a table for a terminal: a line per figure with the median of each column, the range
 * over the rounds as ± half of it, the ratio of ours to the baseline, and the target with its verdict.
 */
export function renderTable(
  rows: readonly Row[],
  columns: readonly string[],
  { baseline, figures }: Comparison,
): string {
  const header = ['', ...columns, `${OURS}/${baseline}`, 'target'];
  const lines = rows.map((row) =>
    renderRow(
      row,
      columns,
      figures.find((each) => each.key === row.key),
    ),
  );
  return alignColumns([header, ...lines]);
}

/** `3 of 4 targets met`, or that there was none to judge. */
export function renderVerdict(rows: readonly Row[], { baseline }: Comparison): string {
  const judged = rows.filter((row) => row.verdict !== undefined);
  if (judged.length === 0) {
    return `No target was judged: that takes a figure of both ${baseline} and ${OURS}`;
  }
  const met = judged.filter((row) => row.verdict === 'met').length;
  return `${met} of ${judged.length} targets met`;
}

/** Groups thousands with commas: `12,345.6`. */
export function formatNumber(value: number, decimals: number): string {
  const [whole = '', fraction] = value.toFixed(decimals).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

function renderRow(row: Row, columns: readonly string[], figure: Figure | undefined): string[] {
  const decimals = figure?.decimals ?? 2;
  const cells = columns.map((name) => renderSpread(row.columns.get(name), decimals));
  const ratio = row.ratio === undefined ? '' : row.ratio.toFixed(2);
  const target =
    row.verdict === undefined ? '' : `${renderTarget(figure?.target, decimals)}  ${row.verdict}`;
  return [figure?.title ?? row.key, ...cells, ratio, target];
}

function renderSpread(spread: Spread | undefined, decimals: number): string {
  if (spread === undefined) return '-';
  const middle = formatNumber(spread.median, decimals);
  if (spread.rounds < 2) return middle;
  return `${middle} ±${formatNumber((spread.most - spread.least) / 2, decimals)}`;
}

function renderTarget(target: Target | undefined, decimals: number): string {
  // A bound of our own figure is written as that, one of the ratio as the ratio.
  const digits = target?.of === 'ours' ? decimals : 2;
  const parts: string[] = [];
  if (target?.atLeast !== undefined) parts.push(`≥ ${target.atLeast.toFixed(digits)}`);
  if (target?.atMost !== undefined) parts.push(`≤ ${target.atMost.toFixed(digits)}`);
  const bound = parts.join(' ');
  return target?.of === 'ours' ? `ours ${bound}` : bound;
}

/** Pads each column to its widest cell: the first and the last to the left, numbers to the right. */
function alignColumns(lines: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const line of lines) {
    line.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, cell.length);
    });
  }
  const pad = (cell: string, index: number): string => {
    const width = widths[index] ?? 0;
    const isText = index === 0 || index === widths.length - 1;
    return isText ? cell.padEnd(width) : cell.padStart(width);
  };
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}
