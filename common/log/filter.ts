import type { LogLevel } from './format.ts';
import { LOG_LEVELS } from './format.ts';

/** How many rules a filter may have: it is scanned once for each new scope. */
const RULES_MAX = 100;

interface Rule {
  /** Empty: for every scope. */
  readonly scope: string;
  /** Lines up to this place in {@link LOG_LEVELS} are written; -1 is `off`. */
  readonly upTo: number;
}

/** Which lines are written, such as `info,access=debug`. */
export interface LogFilter {
  readonly text: string;
  /** The longest scope first. */
  readonly rules: readonly Rule[];
}

export type LogFilterResult =
  | { readonly kind: 'ok'; readonly filter: LogFilter }
  | { readonly kind: 'refused'; readonly problem: string };

/**
 * Reads levels separated by commas: `<level>` for everything, `<scope>=<level>` (or `scope:level`)
 * for a scope and what is below it; the longest scope that fits decides. Levels: off, error, warn,
 * info, debug, trace. Without a level for everything, other scopes are written up to `error`.
 */
export function parseLogFilter(text: string): LogFilterResult {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > RULES_MAX) return refused(`has ${parts.length} parts, at most ${RULES_MAX}`);
  const rules: Rule[] = [];
  for (const part of parts) {
    const [, scope, level] = /^(?:(.+?)(?:=|:(?=[a-zA-Z]+$)))?([a-zA-Z]+)$/.exec(part) ?? [];
    const upTo = level === undefined ? undefined : levelIndex(level);
    if (upTo === undefined || !/^[\w:./-]*$/.test(scope ?? '')) {
      return refused(
        `part ${JSON.stringify(part)}: want a level (off, ${LOG_LEVELS.join(', ')}) or <scope>=<level>`,
      );
    }
    rules.push({ scope: scope ?? '', upTo });
  }
  // The last of two rules for one scope wins, like in the reading order.
  rules.reverse();
  rules.sort((a, b) => b.scope.length - a.scope.length);
  return { kind: 'ok', filter: { text: parts.join(','), rules } };
}

/** The most detailed level that is written for a scope, as a place in LOG_LEVELS; -1: none. */
function mostDetailed(filter: LogFilter, scope: string): number {
  const rule = filter.rules.find((each) => covers(each.scope, scope));
  return rule?.upTo ?? 0;
}

/**
 * The filter in force, which can change while the program runs. Shared by all loggers of a thread.
 */
export class LogLevels {
  readonly #initial: LogFilter;
  #filter: LogFilter;
  /** What was decided for a scope. Scopes are names in our code, so their number is bounded. */
  readonly #decided = new Map<string, number>();

  constructor(initial: LogFilter) {
    this.#initial = initial;
    this.#filter = initial;
  }

  /** The filter in force, as text. */
  current(): string {
    return this.#filter.text;
  }

  set(text: string): LogFilterResult {
    const result = parseLogFilter(text);
    if (result.kind === 'ok') this.#use(result.filter);
    return result;
  }

  /** Back to the filter of the start. */
  reset(): void {
    this.#use(this.#initial);
  }

  enabled(scope: string, level: LogLevel): boolean {
    let upTo = this.#decided.get(scope);
    if (upTo === undefined) {
      upTo = mostDetailed(this.#filter, scope);
      this.#decided.set(scope, upTo);
    }
    return LOG_LEVELS.indexOf(level) <= upTo;
  }

  #use(filter: LogFilter): void {
    this.#filter = filter;
    this.#decided.clear();
  }
}

function refused(why: string): LogFilterResult {
  return { kind: 'refused', problem: `Cannot read log filter: ${why}` };
}

function levelIndex(level: string): number | undefined {
  const name = level.toLowerCase();
  if (name === 'off') return -1;
  const index = LOG_LEVELS.findIndex((each) => each === name);
  return index === -1 ? undefined : index;
}

function covers(rule: string, scope: string): boolean {
  if (rule === '' || rule === scope) return true;
  return scope.startsWith(rule) && /[:./]/.test(scope.charAt(rule.length));
}
