/** Waits until a condition holds that some event may fulfil: whoever has an event says `look()`. */
export class Watcher {
  readonly #waiting = new Set<{ readonly holds: () => boolean; readonly resolve: () => void }>();

  look(): void {
    for (const one of this.#waiting) {
      if (!one.holds()) continue;
      this.#waiting.delete(one);
      one.resolve();
    }
  }

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add({ holds, resolve });
      this.look();
    });
  }
}
