import { type LogFilter, LogLevels } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import type { LineSink } from '#common/log/logger.ts';
import { type LineBatch, LineCollector } from '#common/log/writer.ts';
import type { Loop } from '#reactor/loop.ts';
import type { Timer } from '#reactor/timers.ts';

const LOG_INTERVAL_MS = 50;
const LOG_CHARACTERS = 524_288;
/** Lines on their way to the control thread; when it can't keep up, lines are lost and counted. */
const LOG_LINES_IN_FLIGHT = 20_000;

/** What is logged, and how. */
export interface LogSettings {
  readonly format: LogFormat;
  readonly filter: LogFilter;
}

/** Collects lines on a data worker, and hands them to the control thread in batches: a worker never waits for a reader. */
export class WorkerLog implements LineSink, Timer {
  readonly levels: LogLevels;
  readonly format: LogFormat;
  readonly #loop: Loop;
  readonly #post: (batch: LineBatch) => void;
  readonly #collector = new LineCollector(LOG_LINES_IN_FLIGHT);
  #inFlight = 0;
  #scheduled = false;

  /** What is given to `post` is on its way until {@link taken} says otherwise. */
  constructor(loop: Loop, settings: LogSettings, post: (batch: LineBatch) => void) {
    this.#loop = loop;
    this.levels = new LogLevels(settings.filter);
    this.format = settings.format;
    this.#post = post;
  }

  writeLine(line: string): void {
    this.#collector.writeLine(line);
    if (this.#collector.pending >= LOG_CHARACTERS) {
      this.flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      this.#loop.timers.schedule(this, this.#loop.nowMs + LOG_INTERVAL_MS);
    }
  }

  onTimer(): void {
    this.#scheduled = false;
    this.flush();
  }

  flush(): void {
    if (this.#inFlight > LOG_LINES_IN_FLIGHT) return;
    const batch = this.#collector.take();
    if (batch === undefined) return;
    this.#inFlight += batch.lines;
    this.#post(batch);
  }

  /** The control thread has taken them. */
  taken(lines: number): void {
    this.#inFlight -= lines;
    this.flush();
  }
}
