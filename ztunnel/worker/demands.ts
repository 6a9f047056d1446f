import type { DemandSource, DemandWaiter } from '../proxy/context.ts';

/**
 * What connections of this thread have asked the control plane for, by name. Names are asked for once; an answer
 * (also that there is nothing of the name) holds until it is taken back.
 */
export class Demands implements DemandSource {
  readonly #ask: (names: readonly string[]) => void;
  readonly #answered = new Set<string>();
  /** Name → who waits for it. */
  readonly #waiting = new Map<string, Set<DemandWaiter>>();

  /** `ask`: has the control thread ask for names. */
  constructor(ask: (names: readonly string[]) => void) {
    this.#ask = ask;
  }

  areAnswered(names: Iterable<string>): boolean {
    for (const name of names) if (!this.#answered.has(name)) return false;
    return true;
  }

  want(names: Iterable<string>, waiter: DemandWaiter): void {
    const fresh: string[] = [];
    for (const name of names) {
      if (this.#answered.has(name)) continue;
      const waiters = this.#waiting.get(name);
      if (waiters !== undefined) waiters.add(waiter);
      else {
        this.#waiting.set(name, new Set([waiter]));
        fresh.push(name);
      }
    }
    if (fresh.length > 0) this.#ask(fresh);
  }

  cancel(names: Iterable<string>, waiter: DemandWaiter): void {
    for (const name of names) {
      const waiters = this.#waiting.get(name);
      waiters?.delete(waiter);
      // Asked again, it may have been answered meanwhile.
      if (waiters?.size === 0) this.#waiting.delete(name);
    }
  }

  /** What they stand for is in the mesh by now, or does not exist. */
  answer(names: readonly string[]): void {
    const woken = new Set<DemandWaiter>();
    for (const name of names) {
      this.#answered.add(name);
      for (const waiter of this.#waiting.get(name) ?? []) woken.add(waiter);
      this.#waiting.delete(name);
    }
    for (const waiter of woken) {
      try {
        waiter.onAnswered();
      } catch (error) {
        waiter.onFault(error);
      }
    }
  }

  /** Nobody tells of changes of these any more. */
  forget(names: readonly string[]): void {
    for (const name of names) this.#answered.delete(name);
  }
}
