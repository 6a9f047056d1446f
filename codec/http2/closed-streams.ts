/** Streams that we reset and remember: more than may be open at once, so that a mass reset is remembered whole. */
const REMEMBERED_MAX = 256;

/** Id and remaining window of each remembered stream, oldest first. */
export type ClosedStreamsState = readonly (readonly [id: number, windowLeft: number])[];

/**
 * The streams that we reset lately. Their peers may not know yet: what they still send is dropped, up to
 * what their window let them send (RFC 9113 section 5.1, "closed").
 */
export class ClosedStreams {
  #ids: number[] = [];
  #windows: number[] = [];
  /** Where the next one goes, once the ring is full. */
  #next = 0;

  remember(id: number, windowLeft: number): void {
    if (this.#ids.length < REMEMBERED_MAX) {
      this.#ids.push(id);
      this.#windows.push(windowLeft);
      return;
    }
    this.#ids[this.#next] = id;
    this.#windows[this.#next] = windowLeft;
    this.#next = (this.#next + 1) % REMEMBERED_MAX;
  }

  has(id: number): boolean {
    return this.#ids.includes(id);
  }

  /** DATA of this length came for a remembered stream. False: more than its window allowed. */
  takeWindow(id: number, length: number): boolean {
    const at = this.#ids.lastIndexOf(id);
    const left = (this.#windows[at] ?? 0) - length;
    this.#windows[at] = left;
    return left >= 0;
  }

  export(): ClosedStreamsState {
    return this.#ids.map((_, i) => {
      const at = (this.#next + i) % this.#ids.length;
      return [this.#ids[at] ?? 0, this.#windows[at] ?? 0] as const;
    });
  }

  restore(state: ClosedStreamsState): void {
    for (const [id, windowLeft] of state) this.remember(id, windowLeft);
  }
}
