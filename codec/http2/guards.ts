/**
 * A number of cheap frames that a peer may send. It starts full, refills with time, and grows with useful
 * work, so that an honest peer is never measured by how busy it is. A connection whose budget is used up is
 * closed with ENHANCE_YOUR_CALM.
 */
export class Budget {
  /** What the peer did, for the reason in GOAWAY and in logs. */
  readonly reason: string;
  readonly most: number;
  readonly perSecond: number;
  level: number;

  constructor(reason: string, start: number, most: number, perSecond: number) {
    this.reason = reason;
    this.level = start;
    this.most = most;
    this.perSecond = perSecond;
  }

  /** Takes one; false when there is none left. */
  spend(): boolean {
    if (this.level < 1) return false;
    this.level--;
    return true;
  }

  earn(count: number): void {
    if (this.level === this.most) return;
    const level = this.level + count;
    this.level = level > this.most ? this.most : level;
  }
}

/** Streams that were opened and reset at once cost us a dial each and escape the limit of open streams. */
const RESET_BURST = 1000;
const RESET_PER_SECOND = 33;

/** Answers (ACKs of SETTINGS and PING) that the peer may ask for without doing anything else. */
const ANSWER_BURST = 1000;
const ANSWER_PER_SECOND = 100;

/** Frames that carry nothing: DATA without payload or end, and interim responses. */
const EMPTY_BURST = 100;
const EMPTY_PER_SECOND = 10;

/** DATA frames below this (2^6 bytes) cost more in our work than in the peer's bandwidth. */
const SMALL_DATA_BITS = 6;
/** One small frame per so many bytes of the connection's window, at once; and at least as many as this. */
const SMALL_DATA_WINDOW_SHARE = 16;
const SMALL_DATA_BURST_MIN = 65_536;
/** More small writes than an honest application can make on one core (a write costs it over a microsecond). */
const SMALL_DATA_PER_SECOND = 250_000;

/** WINDOW_UPDATE: a few at the start, 2 per stream, 20 per DATA frame that we sent and one per 512 bytes of it. */
const WINDOW_UPDATE_START = 105;
const WINDOW_UPDATE_MOST = 65_536;
const WINDOW_UPDATE_PER_SECOND = 10;
const WINDOW_UPDATES_PER_STREAM = 2;
const WINDOW_UPDATES_PER_DATA = 20;
const BYTES_PER_WINDOW_UPDATE = 512;
/** Receivers measure the path with a PING per DATA frame; large frames of ours count as several. */
const BYTES_PER_ANSWER = 16_384;

/** Frames that mean nothing to us: PRIORITY, unknown types, late frames on closed streams. 100 per stream. */
const IGNORED_PER_STREAM = 100;
const IGNORED_MOST = 20_000;
const IGNORED_PER_SECOND = 10;

/** Refills happen in steps of at least this: the clock is looked at once per received chunk. */
const REFILL_STEP_MS = 100;

/** The clock and the levels of all budgets, as plain data. */
export interface GuardsState {
  readonly clockMs: number;
  readonly levels: readonly number[];
}

/**
 * The budgets of one connection against floods. Of the time that comes in only differences count, so that it
 * may be another process's after a hand-over.
 */
export class Guards {
  /** Rapid reset: RST_STREAM on requests that had no answer yet. Each answered request earns one. */
  readonly peerResets: Budget;
  /** "Made you reset": stream errors that the peer provokes, so that we do the resetting. */
  readonly ownResets: Budget;
  /** SETTINGS and PING floods. */
  readonly answers: Budget;
  /** Empty DATA floods. */
  readonly emptyFrames: Budget;
  /** Floods of tiny DATA. */
  readonly smallData: Budget;
  /** WINDOW_UPDATE floods. */
  readonly windowUpdates: Budget;
  /** PRIORITY and unknown-frame floods. */
  readonly ignoredFrames: Budget;
  readonly #all: readonly Budget[];
  /** Time that has passed on this connection, in whichever process it was. */
  clockMs = 0;
  #refilledAtMs = 0;
  /** The last time that came in; undefined until one did in this process. */
  #lastNowMs: number | undefined;

  constructor(connectionWindow: number) {
    const smallData = Math.max(SMALL_DATA_BURST_MIN, connectionWindow / SMALL_DATA_WINDOW_SHARE);
    this.peerResets = full('Requests reset before their answer', RESET_BURST, RESET_PER_SECOND);
    this.ownResets = full('Stream errors', RESET_BURST, RESET_PER_SECOND);
    this.answers = full('SETTINGS and PING without other work', ANSWER_BURST, ANSWER_PER_SECOND);
    this.emptyFrames = full('Frames without content', EMPTY_BURST, EMPTY_PER_SECOND);
    this.smallData = full('Tiny DATA frames', smallData, SMALL_DATA_PER_SECOND);
    this.windowUpdates = new Budget(
      'WINDOW_UPDATE without need',
      WINDOW_UPDATE_START,
      WINDOW_UPDATE_MOST,
      WINDOW_UPDATE_PER_SECOND,
    );
    this.ignoredFrames = new Budget(
      'Frames without meaning',
      IGNORED_PER_STREAM,
      IGNORED_MOST,
      IGNORED_PER_SECOND,
    );
    this.#all = [
      this.peerResets,
      this.ownResets,
      this.answers,
      this.emptyFrames,
      this.smallData,
      this.windowUpdates,
      this.ignoredFrames,
    ];
  }

  /** Lets time pass. The first call only starts the clock. */
  tick(nowMs: number): void {
    this.clockMs += Math.max(0, nowMs - (this.#lastNowMs ?? nowMs));
    this.#lastNowMs = nowMs;
    const elapsedMs = this.clockMs - this.#refilledAtMs;
    if (elapsedMs < REFILL_STEP_MS) return;
    this.#refilledAtMs = this.clockMs;
    for (const budget of this.#all) budget.earn((budget.perSecond * elapsedMs) / 1000);
  }

  /** A stream was accepted or opened. */
  onStream(): void {
    this.ignoredFrames.earn(IGNORED_PER_STREAM);
    this.windowUpdates.earn(WINDOW_UPDATES_PER_STREAM);
    this.answers.earn(1);
    this.emptyFrames.earn(1);
  }

  /** A DATA frame with so much payload was sent. */
  onDataSent(length: number): void {
    this.windowUpdates.earn(WINDOW_UPDATES_PER_DATA + length / BYTES_PER_WINDOW_UPDATE);
    this.answers.earn(1 + length / BYTES_PER_ANSWER);
  }

  /** A DATA frame came in. Returns the budget that it overran. */
  onDataReceived(length: number, endStream: boolean): Budget | undefined {
    if (length === 0) return endStream || this.emptyFrames.spend() ? undefined : this.emptyFrames;
    this.emptyFrames.earn(1);
    this.answers.earn(1);
    const units = length >>> SMALL_DATA_BITS;
    if (units > 0) this.smallData.earn(units);
    else if (!this.smallData.spend()) return this.smallData;
    return undefined;
  }

  export(): GuardsState {
    return { clockMs: this.clockMs, levels: this.#all.map((budget) => budget.level) };
  }

  restore(state: GuardsState): void {
    this.clockMs = state.clockMs;
    this.#refilledAtMs = state.clockMs;
    for (const [i, budget] of this.#all.entries()) budget.level = state.levels[i] ?? budget.level;
  }
}

function full(reason: string, most: number, perSecond: number): Budget {
  return new Budget(reason, most, most, perSecond);
}
