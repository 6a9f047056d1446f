import type { LogLevels } from './filter.ts';
import type { LogFields, LogFormat, LogLevel, LogSpan } from './format.ts';
import { jsonLine, textLine } from './format.ts';

/** Takes finished lines, each without its newline. Never blocks and never throws. */
export interface LineSink {
  writeLine(line: string): void;
}

/** What all loggers of one thread share. */
export interface LogOutput {
  readonly levels: LogLevels;
  readonly format: LogFormat;
  readonly sink: LineSink;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Writes lines of one scope. Never pass secrets: neither keys nor tokens nor what applications send.
 * Text from peers belongs into fields, where it is quoted.
 */
export class Logger {
  readonly #output: LogOutput;
  readonly #scope: string;
  readonly #spans: readonly LogSpan[];

  constructor(output: LogOutput, scope: string, spans: readonly LogSpan[] = []) {
    this.#output = output;
    this.#scope = scope;
    this.#spans = spans;
  }

  /** The same output under another scope; `::` separates levels, as in `xds::client`. */
  scoped(scope: string): Logger {
    return new Logger(this.#output, scope, this.#spans);
  }

  /** Lines of this logger also say what they happened inside of, as in `proxy{wl=shop/till}`. */
  within(name: string, fields: LogFields): Logger {
    return new Logger(this.#output, this.#scope, [...this.#spans, { name, fields }]);
  }

  /** Ask first when the fields are costly to make. */
  enabled(level: LogLevel): boolean {
    return this.#output.levels.enabled(this.#scope, level);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#write('error', message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#write('warn', message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#write('info', message, fields);
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#write('debug', message, fields);
  }

  trace(message: string, fields: LogFields = {}): void {
    this.#write('trace', message, fields);
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    if (!this.enabled(level)) return;
    const timeMs = this.#output.now();
    const entry = { timeMs, level, scope: this.#scope, spans: this.#spans, message, fields };
    this.#output.sink.writeLine(this.#output.format === 'json' ? jsonLine(entry) : textLine(entry));
  }
}
