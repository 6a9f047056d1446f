/** One line of a node tunnel's access log, read. */
export interface AccessLogLine {
  readonly message: string;
  /** `src.identity`, `direction`, …: values without their quotes. */
  readonly fields: ReadonlyMap<string, string>;
}

// `time <tab> level <tab> scope <tab> message <tab> key=value key="quoted value" …`
const LINE = /^[^\t]+\t\w+\taccess[^\t]*\t([^\t]+)\t(.*)$/;
const FIELD = /([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g;

/** Reads a line of the text format; undefined for lines of other kinds. */
export function parseAccessLogLine(line: string): AccessLogLine | undefined {
  const [, message, rest] = LINE.exec(line) ?? [];
  if (message === undefined || rest === undefined) return undefined;
  const fields = [...rest.matchAll(FIELD)].map(
    ([, key = '', quoted, plain]) => [key, quoted ?? plain ?? ''] as const,
  );
  return { message, fields: new Map(fields) };
}

/** The lines whose fields have at least these values, oldest first. */
export function findAccessLog(
  log: readonly string[],
  wanted: Readonly<Record<string, string>>,
): AccessLogLine[] {
  return log
    .map(parseAccessLogLine)
    .filter((line) => line !== undefined)
    .filter((line) =>
      Object.entries(wanted).every(([key, value]) => line.fields.get(key) === value),
    );
}

/** The fields that matter for a reader, one per line, under the node's name. */
export function showAccessLog(node: string, line: AccessLogLine, keys: readonly string[]): string {
  const shown = keys
    .filter((key) => line.fields.has(key))
    .map((key) => `  ${key.padEnd(14)} ${line.fields.get(key)}`);
  return [`access log of ${node}: ${line.message}`, ...shown].join('\n');
}
