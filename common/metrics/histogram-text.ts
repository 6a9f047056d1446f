import type { HistogramReading } from './histogram.ts';

/** The numbers of a histogram for one set of labels. */
export interface HistogramSample {
  /** Kept as text for as long as the object lives: give the same object again for the same labels. */
  readonly labels: Readonly<Record<string, string>>;
  readonly reading: HistogramReading;
}

/** A metric of many amounts: how many were at most so much, for each set of labels. */
export interface HistogramFamily {
  readonly name: string;
  readonly help: string;
  readonly kind: 'histogram';
  readonly read: () => Iterable<HistogramSample>;
}

/**
 * A histogram in the text formats of Prometheus and OpenMetrics, which are the same for it. A piece for each set of
 * labels: with all of its buckets that is thousands of characters, and there may be thousands of them.
 */
export function* histogramText({ name, help, read }: HistogramFamily): Generator<string> {
  yield `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} histogram\n`;
  for (const { labels, reading } of read()) {
    const text = labelText(labels);
    const behind = text === '' ? '' : `,${text}`;
    const around = text === '' ? '' : `{${text}}`;
    let piece = '';
    for (const { atMost, count } of reading.buckets) {
      piece += `${name}_bucket{le="${atMost}"${behind}} ${count}\n`;
    }
    piece += `${name}_bucket{le="+Inf"${behind}} ${reading.count}\n`;
    yield `${piece}${name}_sum${around} ${reading.sum}\n${name}_count${around} ${reading.count}\n`;
  }
}

const texts = new WeakMap<Readonly<Record<string, string>>, string>();

function labelText(labels: Readonly<Record<string, string>>): string {
  let text = texts.get(labels);
  if (text === undefined) {
    const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
    text = parts.join(',');
    texts.set(labels, text);
  }
  return text;
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`);
}

function escapeLabel(value: string): string {
  return escapeHelp(value).replaceAll('"', String.raw`\"`);
}
