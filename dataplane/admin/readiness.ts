/** What a readiness probe gets. */
export interface ReadinessReport {
  readonly ready: boolean;
  /** `ready`, or which tasks are pending. */
  readonly text: string;
}

/**
 * Whether the process may take traffic: when no task is pending. Tasks may become pending again,
 * such as when the connection to the node agent is lost.
 */
export class Readiness {
  readonly #pending: Set<string>;

  /** Everything that must be done first; a task that is not named here can be added later. */
  constructor(tasks: readonly string[]) {
    this.#pending = new Set(tasks);
  }

  done(task: string): void {
    this.#pending.delete(task);
  }

  pending(task: string): void {
    this.#pending.add(task);
  }

  report(): ReadinessReport {
    if (this.#pending.size === 0) return { ready: true, text: 'ready\n' };
    return {
      ready: false,
      text: `not ready, pending: ${[...this.#pending].toSorted().join(', ')}\n`,
    };
  }
}
