import { LogLevels } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';

/** A logger whose lines, `info` and above, a test can look at. */
export function logLines(): { readonly log: Logger; readonly lines: readonly string[] } {
  const lines: string[] = [];
  const sink = { writeLine: (line: string) => void lines.push(line) };
  const levels = new LogLevels({ text: 'info', rules: [{ scope: '', upTo: 2 }] });
  return { log: new Logger({ levels, format: 'text', sink, now: () => 0 }, 'test'), lines };
}
