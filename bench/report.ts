import { type Figure, figures, type Target } from './figures.ts';
import { BASELINE, OURS, type Row, type Spread } from './statistics.ts';

/**
 * The result as a table for a terminal: a line per figure with the median of each column, the range
 * over the rounds as ± half of it, the ratio ours/haproxy, and the target with its verdict.
 */
export function renderTable(rows: readonly Row[], columns: readonly string[]): string {
  const header = ['', ...columns, `${OURS}/${BASELINE}`, 'target'];
  const lines = rows.map((row) => renderRow(row, columns));
  return alignColumns([header, ...lines]);
}

/** `3 of 4 targets met`, or that there was none to judge. */
export function renderVerdict(rows: readonly Row[]): string {
  const judged = rows.filter((row) => row.verdict !== undefined);
  if (judged.length === 0) {
    return `No target was judged: that takes a figure of both ${BASELINE} and ${OURS}`;
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

function renderRow(row: Row, columns: readonly string[]): string[] {
  const figure: Figure | undefined = figures.find((each) => each.key === row.key);
  const decimals = figure?.decimals ?? 2;
  const cells = columns.map((name) => renderSpread(row.columns.get(name), decimals));
  const ratio = row.ratio === undefined ? '' : row.ratio.toFixed(2);
  const target = row.verdict === undefined ? '' : `${renderTarget(figure?.target)}  ${row.verdict}`;
  return [figure?.title ?? row.key, ...cells, ratio, target];
}

function renderSpread(spread: Spread | undefined, decimals: number): string {
  if (spread === undefined) return '-';
  const middle = formatNumber(spread.median, decimals);
  if (spread.rounds < 2) return middle;
  return `${middle} ±${formatNumber((spread.most - spread.least) / 2, decimals)}`;
}

function renderTarget(target: Target | undefined): string {
  const parts: string[] = [];
  if (target?.atLeast !== undefined) parts.push(`≥ ${target.atLeast.toFixed(2)}`);
  if (target?.atMost !== undefined) parts.push(`≤ ${target.atMost.toFixed(2)}`);
  return parts.join(' ');
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
