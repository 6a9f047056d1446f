/** What has to be done about names, in this order. */
export interface NameMoves {
  /** To ask the control plane for. */
  readonly ask: readonly string[];
  /** That are answered already. */
  readonly answered: readonly string[];
}

/** Names that nothing has; they are forgotten in the order in which that was said. */
const ABSENT_MAX = 20_000;
/** More names than this wait for no answer: whoever asks for them is refused after a while. */
const PENDING_MAX = 20_000;

/**
 * The names that the workers of this process have asked for (pure). What exists stays asked for, so that its
 * changes are told; of what does not exist, as much is remembered as fits.
 */
export class DemandedNames {
  readonly #pending = new Set<string>();
  readonly #present = new Set<string>();
  readonly #absent = new Set<string>();

  want(names: readonly string[]): NameMoves {
    const ask: string[] = [];
    const answered: string[] = [];
    for (const name of names) {
      if (this.#present.has(name) || this.#absent.has(name)) answered.push(name);
      else if (!this.#pending.has(name) && this.#pending.size < PENDING_MAX) {
        this.#pending.add(name);
        ask.push(name);
      }
    }
    return { ask, answered };
  }

  /** A response has brought what has these names and aliases, and said that there is nothing of `removed`. */
  answer(
    brought: Iterable<string>,
    removed: Iterable<string>,
  ): { readonly answered: readonly string[]; readonly forgotten: readonly string[] } {
    const answered: string[] = [];
    for (const name of brought) {
      const known = this.#pending.delete(name) || this.#absent.delete(name);
      if (!known) continue;
      this.#present.add(name);
      answered.push(name);
    }
    for (const name of removed) {
      const known = this.#pending.delete(name) || this.#present.delete(name);
      if (!known) continue;
      this.#absent.add(name);
      answered.push(name);
    }
    const forgotten: string[] = [];
    for (const name of this.#absent) {
      if (this.#absent.size <= ABSENT_MAX) break;
      this.#absent.delete(name);
      forgotten.push(name);
    }
    return { answered, forgotten };
  }
}
