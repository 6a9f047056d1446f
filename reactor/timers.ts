/** Something that wants to be called at a time. The object is the timer: no closure, no handle. */
export interface Timer {
  onTimer(nowMs: number): void;
}

/** Precision: what a timer may be late. Everything timed here is at least ten times as long. */
const SLOT_MS = 16;
/** Slots of the wheel, a power of two: one revolution takes 8.2 s, longer timers go round again. */
const SLOTS = 512;

interface Entry {
  readonly timer: Timer;
  dueTick: number;
}

/**
 * A hashed timer wheel: schedule and cancel in constant time, tens of thousands of timers, no I/O and no
 * clock of its own. Times are milliseconds on any one monotonic scale.
 */
export class TimerWheel {
  readonly #slots: Map<Timer, Entry>[] = Array.from({ length: SLOTS }, () => new Map());
  readonly #entries = new Map<Timer, Entry>();
  /** The last tick whose timers were called. */
  #tick: number;
  /** Cached answer of {@link nextDueMs}; undefined when it must be searched. */
  #earliestTick: number | undefined;

  constructor(nowMs: number) {
    this.#tick = Math.floor(nowMs / SLOT_MS);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Calls `timer.onTimer` once, at `atMs` or up to 16 ms later. A timer that is already set is moved. */
  schedule(timer: Timer, atMs: number): void {
    this.cancel(timer);
    const dueTick = Math.max(Math.ceil(atMs / SLOT_MS), this.#tick + 1);
    const entry: Entry = { timer, dueTick };
    this.#entries.set(timer, entry);
    this.#slot(dueTick).set(timer, entry);
    if (this.#entries.size === 1) this.#earliestTick = dueTick;
    else if (this.#earliestTick !== undefined && dueTick < this.#earliestTick) {
      this.#earliestTick = dueTick;
    }
  }

  cancel(timer: Timer): void {
    const entry = this.#entries.get(timer);
    if (entry === undefined) return;
    this.#entries.delete(timer);
    this.#slot(entry.dueTick).delete(timer);
    if (entry.dueTick === this.#earliestTick) this.#earliestTick = undefined;
  }

  /**
   * Calls every timer that is due; timers set meanwhile wait for a later call. What a timer throws goes to
   * `onFault`, so that the others still run.
   */
  advance(nowMs: number, onFault: (timer: Timer, error: unknown) => void): void {
    const target = Math.floor(nowMs / SLOT_MS);
    if (target <= this.#tick) return;
    if (this.#entries.size === 0) {
      this.#tick = target;
      return;
    }
    const due: Timer[] = [];
    const slots = Math.min(target - this.#tick, SLOTS);
    for (let step = 1; step <= slots; step++) {
      for (const entry of this.#slot(this.#tick + step).values()) {
        if (entry.dueTick <= target) due.push(entry.timer);
      }
    }
    this.#tick = target;
    for (const timer of due) {
      // An earlier timer of this call may have cancelled or moved this one.
      const entry = this.#entries.get(timer);
      if (entry === undefined || entry.dueTick > target) continue;
      this.cancel(timer);
      try {
        timer.onTimer(nowMs);
      } catch (error) {
        onFault(timer, error);
      }
    }
  }

  /** When `advance` has something to do next; undefined when no timer is set. */
  nextDueMs(): number | undefined {
    if (this.#entries.size === 0) return undefined;
    this.#earliestTick ??= this.#findEarliest();
    return this.#earliestTick * SLOT_MS;
  }

  #findEarliest(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (let step = 1; step <= SLOTS; step++) {
      const tick = this.#tick + step;
      for (const entry of this.#slot(tick).values()) {
        if (entry.dueTick < earliest) earliest = entry.dueTick;
      }
      // Nothing in a later slot of this revolution can come before a hit in this one.
      if (earliest <= tick) break;
    }
    return earliest;
  }

  #slot(tick: number): Map<Timer, Entry> {
    return this.#slots[tick & (SLOTS - 1)] as Map<Timer, Entry>;
  }
}
