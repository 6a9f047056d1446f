import { formatDurationMs, parseDurationMs } from './duration.ts';

/** What `process.env` is; passed in, so that settings can be read without touching the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface IntegerRange {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
}

/**
 * Typed readers over an environment. A value that can't be read becomes a line in
 * {@link EnvReader.problems} and the fallback is answered, so that one run shows everything that is
 * wrong. The caller must not go on when there are problems.
 *
 * A variable that is set to an empty text counts as not set: manifests write `value: ""` for "none".
 */
export class EnvReader {
  readonly problems: string[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Adds a problem that was found by looking at more than one variable. */
  refuse(problem: string): void {
    this.problems.push(problem);
  }

  text(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === undefined || value === '' ? undefined : value;
  }

  /** Set to an empty text: for the variables where "none" differs from "not said". */
  isEmpty(name: string): boolean {
    return this.#env[name]?.trim() === '';
  }

  textOr(name: string, fallback: string): string {
    return this.text(name) ?? fallback;
  }

  /** `true`, `false`, `1` or `0`, in any case of letters. */
  boolean(name: string, fallback: boolean): boolean {
    const value = this.text(name);
    switch (value?.toLowerCase()) {
      case undefined:
        return fallback;
      case 'true':
      case '1':
        return true;
      case 'false':
      case '0':
        return false;
      default:
        this.#unreadable(name, value, '"true" or "false"');
        return fallback;
    }
  }

  /** A whole number, decimal or `0x…`, from `min` to `max` (both included). */
  integer(name: string, range: IntegerRange): number {
    const value = this.text(name);
    if (value === undefined) return range.fallback;
    const number = /^(?:[0-9]{1,15}|0x[0-9a-fA-F]{1,12})$/.test(value) ? Number(value) : Number.NaN;
    if (number >= range.min && number <= range.max) return number;
    this.#unreadable(name, value, `a whole number from ${range.min} to ${range.max}`);
    return range.fallback;
  }

  /** A duration with its unit (`10s`, `1h30m`), in milliseconds; the range is in milliseconds too. */
  durationMs(name: string, range: IntegerRange): number {
    const value = this.text(name);
    if (value === undefined) return range.fallback;
    const durationMs = parseDurationMs(value);
    if (durationMs !== undefined && durationMs >= range.min && durationMs <= range.max) {
      return durationMs;
    }
    const [from, to] = [formatDurationMs(range.min), formatDurationMs(range.max)];
    this.#unreadable(name, value, `a duration such as "10s" or "1h30m", from ${from} to ${to}`);
    return range.fallback;
  }

  oneOf<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    this.#unreadable(name, value, `one of ${choices.map((choice) => `"${choice}"`).join(', ')}`);
    return fallback;
  }

  /** Every set variable whose name starts with `prefix`: the rest of its name → its value. */
  withPrefix(prefix: string): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const name of Object.keys(this.#env)) {
      if (!name.startsWith(prefix) || name.length === prefix.length) continue;
      const value = this.text(name);
      if (value !== undefined) found.set(name.slice(prefix.length), value);
    }
    return found;
  }

  #unreadable(name: string, value: string | undefined, want: string): void {
    this.problems.push(`Cannot read ${name}=${JSON.stringify(value)}: want ${want}`);
  }
}
