/** How often each worker is asked for a sign of life. */
export const BEAT_MS = 1_000;
/** Longer than a collection of garbage on a busy machine: it serves, but not well. */
const SILENT_BEATS = 3;
/**
 * The longest that a worker may do one thing: to adopt 100,000 connections or to take up a mesh of as many
 * workloads takes a few seconds on a slow machine. Whoever is silent for longer does not come back.
 */
const STUCK_BEATS = 10;

/** Why {@link Heartbeat.beat} thinks that it is. */
export const STUCK_REASON: string = `its event loop has been stuck for ${(STUCK_BEATS * BEAT_MS) / 1_000} s`;

/**
 * Decides from the signs of life of one worker how it is. Counts beats instead of time: a machine that slept,
 * or a control thread that was held up itself, has missed none.
 */
export class Heartbeat {
  #unanswered = 0;

  /** It is time to ask once more. */
  beat(): 'well' | 'silent' | 'stuck' {
    const before = this.#unanswered++;
    if (before >= STUCK_BEATS) return 'stuck';
    return before >= SILENT_BEATS ? 'silent' : 'well';
  }

  /** It has answered. True: it had been silent before. */
  heard(): boolean {
    const wasSilent = this.#unanswered > SILENT_BEATS;
    this.#unanswered = 0;
    return wasSilent;
  }
}
