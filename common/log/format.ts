/** How log lines are written: fields as `key=value`, or one JSON object a line. */
export type LogFormat = 'text' | 'json';

/** From the least to the most detailed. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

type LogValue = string | number | boolean | undefined;
/** Fields of a line, in the order in which they are written; undefined ones are left out. */
export type LogFields = Readonly<Record<string, LogValue>>;

/** What a line happened inside of, such as one pod's proxy. */
export interface LogSpan {
  readonly name: string;
  readonly fields: LogFields;
}

export interface LogEntry {
  /** Milliseconds since 1970; a fraction gives the microseconds. */
  readonly timeMs: number;
  readonly level: LogLevel;
  readonly scope: string;
  readonly spans: readonly LogSpan[];
  readonly message: string;
  readonly fields: LogFields;
}

// Longer than every name, identity and address that we log (a SPIFFE id is 2,048 bytes at most),
// and short enough that a peer can't fill the disk with one line.
const VALUE_LENGTH_MAX = 2_048;

/** `<RFC 3339, µs, Z>\t<level>\t<scope>[:<span>{k=v}]\t<message>[\t<k=v …>]`, without a newline. */
export function textLine(entry: LogEntry): string {
  const head = `${formatTime(entry.timeMs)}\t${entry.level}\t${entry.scope}`;
  const spans = entry.spans.map(textSpan).join('');
  const fields = textFields(entry.fields);
  const tail = fields === '' ? '' : `\t${fields}`;
  return `${head}${spans}\t${escapeControls(entry.message)}${tail}`;
}

/** One JSON object: `level`, `time`, `scope`, `message`, the fields, then an object for each span. */
export function jsonLine(entry: LogEntry): string {
  const head = `{"level":"${entry.level}","time":"${formatTime(entry.timeMs)}"`;
  const what = `,"scope":${quote(entry.scope)},"message":${quote(entry.message)}`;
  const spans = entry.spans.map((span) => `,${quote(span.name)}:{${jsonFields(span.fields)}}`);
  const fields = jsonFields(entry.fields);
  return `${head}${what}${fields === '' ? '' : `,${fields}`}${spans.join('')}}`;
}

/**
 * A value between double quotes, written so that it is a JSON string and stays on one line whatever
 * it holds: quotes, controls (line ends, tabs, terminal sequences) and the invisible characters that
 * reorder text are written as escapes. Values of more than 2,048 characters are cut, marked by `…`.
 */
export function quote(value: string): string {
  // Printable ASCII without `"` and `\`: nearly every value that is logged.
  if (value.length <= VALUE_LENGTH_MAX && /^[ !#-[\]-~]*$/.test(value)) return `"${value}"`;
  return `"${shorten(value).replace(UNSAFE_IN_QUOTES, escapeUnits)}"`;
}

/** Like {@link quote}, but addresses and plain words stay without quotes. */
export function bareOrQuoted(value: string): string {
  if (value.length <= VALUE_LENGTH_MAX && /^[0-9A-Za-z.:[\]_/+-]+$/.test(value)) return value;
  return quote(value);
}

let secondShown = Number.NaN;
let secondText = '';

/** `2026-01-31T12:00:00.123456Z`. The text up to the second is kept: most lines share it. */
export function formatTime(timeMs: number): string {
  const second = Math.floor(timeMs / 1_000);
  if (second !== secondShown) {
    secondText = new Date(second * 1_000).toISOString().slice(0, 20);
    secondShown = second;
  }
  const micros = Math.floor((timeMs - second * 1_000) * 1_000);
  return `${secondText}${String(micros).padStart(6, '0')}Z`;
}

// \p{C}: controls, format characters (bidirectional overrides among them), lone surrogates,
// private use and unassigned code points. Zl and Zp end a line in some viewers.
const UNSAFE_IN_QUOTES = /["\\\p{C}\p{Zl}\p{Zp}]/gu;
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/gu;

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': String.raw`\"`,
  '\\': String.raw`\\`,
  '\n': String.raw`\n`,
  '\r': String.raw`\r`,
  '\t': String.raw`\t`,
};

function escapeUnits(character: string): string {
  const short = SHORT_ESCAPES[character];
  if (short !== undefined) return short;
  let escaped = '';
  for (let i = 0; i < character.length; i++) {
    escaped += String.raw`\u` + character.charCodeAt(i).toString(16).padStart(4, '0');
  }
  return escaped;
}

function escapeControls(message: string): string {
  return shorten(message).replace(UNSAFE, escapeUnits);
}

function shorten(value: string): string {
  return value.length <= VALUE_LENGTH_MAX ? value : `${value.slice(0, VALUE_LENGTH_MAX)}…`;
}

function textSpan(span: LogSpan): string {
  const fields = Object.entries(span.fields).filter(([, value]) => value !== undefined);
  return `:${span.name}{${fields.map(([key, value]) => `${key}=${bareOrQuoted(String(value))}`).join(' ')}}`;
}

function textFields(fields: LogFields): string {
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    text += `${text === '' ? '' : ' '}${key}=${typeof value === 'string' ? quote(value) : value}`;
  }
  return text;
}

function jsonFields(fields: LogFields): string {
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    text += `${text === '' ? '' : ','}${quote(key)}:${jsonValue(value)}`;
  }
  return text;
}

function jsonValue(value: string | number | boolean): string {
  if (typeof value === 'string') return quote(value);
  // JSON has no NaN and no infinity.
  return typeof value === 'number' && !Number.isFinite(value) ? `"${value}"` : String(value);
}
