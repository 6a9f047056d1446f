/** Milliseconds between two lines about the same thing: soon enough to be seen, too rare to be a flood. */
export const REPEAT_INTERVAL_MS = 10_000;

/**
 * Lets through one line per kind and {@link REPEAT_INTERVAL_MS}, and says with the next one how many there were
 * in between. For conditions that peers can bring about as often as they like. Kinds are few and the program's
 * own: each is remembered.
 */
export class RateLimitedLines {
  readonly #write: (line: string) => void;
  readonly #kinds = new Map<string, { nextMs: number; heldBack: number }>();

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** `nowMs`: a clock that never goes back. */
  write(kind: string, line: string, nowMs: number): void {
    const known = this.#kinds.get(kind);
    if (known !== undefined && nowMs < known.nextMs) {
      known.heldBack++;
      return;
    }
    const heldBack = known?.heldBack ?? 0;
    this.#kinds.set(kind, { nextMs: nowMs + REPEAT_INTERVAL_MS, heldBack: 0 });
    this.#write(heldBack === 0 ? line : `${line} (and ${heldBack} times since this was last said)`);
  }
}
