/** Something that wants to be called at a time. The object is the timer: no closure, no handle. */
export interface Timer {
  onTimer(nowMs: number): void;
  /** `onTimer` threw: close what is yours and nothing else. */
  onFault?(error: unknown): void;
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
  /**
   * No timer is due before this tick; undefined when it must be searched. A cancelled timer does not move
   * it: most timers are deadlines that are cancelled, and one early wake-up is cheaper than a search for each.
   */
  #earliestTick: number | undefined;

  constructor(nowMs: number) {
    this.#tick = Math.floor(nowMs / SLOT_MS);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Calls `timer.onTimer` once, at `atMs` or up to 16 ms later. A timer that is already set is moved. */
  schedule(timer: Timer, atMs: number): void {
    if (!Number.isFinite(atMs)) throw new RangeError(`Cannot set a timer for ${atMs} ms`);
    const dueTick = Math.max(Math.ceil(atMs / SLOT_MS), this.#tick + 1);
    let entry = this.#entries.get(timer);
    if (entry === undefined) {
      entry = { timer, dueTick };
      this.#entries.set(timer, entry);
    } else if (entry.dueTick === dueTick) {
      return;
    } else {
      this.#slot(entry.dueTick).delete(timer);
      entry.dueTick = dueTick;
    }
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
  }

  /**
   * Calls every timer that is due, the earliest first; timers set meanwhile wait for a later call. What a timer
   * throws goes to `onFault`, so that the others still run.
   */
  advance(nowMs: number, onFault: (timer: Timer, error: unknown) => void): void {
    const target = Math.floor(nowMs / SLOT_MS);
    if (target <= this.#tick) return;
    if (this.#entries.size === 0) {
      this.#tick = target;
      return;
    }
    const due: Entry[] = [];
    const slots = Math.min(target - this.#tick, SLOTS);
    for (let step = 1; step <= slots; step++) {
      const slot = this.#slot(this.#tick + step);
      if (slot.size === 0) continue;
      for (const entry of slot.values()) {
        if (entry.dueTick <= target) due.push(entry);
      }
    }
    // After more than a revolution the slots are no longer in the order of time.
    if (slots === SLOTS) due.sort((one, other) => one.dueTick - other.dueTick);
    this.#tick = target;
    if (this.#earliestTick !== undefined && this.#earliestTick <= target) {
      this.#earliestTick = undefined;
    }
    for (const { timer } of due) {
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

  /** No timer is due before this; undefined when none is set. After `advance` at this time it is later. */
  nextDueMs(): number | undefined {
    if (this.#entries.size === 0) return undefined;
    this.#earliestTick ??= this.#findEarliest();
    return this.#earliestTick * SLOT_MS;
  }

  #findEarliest(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (let step = 1; step <= SLOTS; step++) {
      const tick = this.#tick + step;
      const slot = this.#slot(tick);
      if (slot.size === 0) continue;
      for (const entry of slot.values()) {
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
