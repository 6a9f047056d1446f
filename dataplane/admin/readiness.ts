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
  /** By task, what it waits for, where that is known. */
  readonly #pending: Map<string, string | undefined>;

  /** Everything that must be done first; a task that is not named here can be added later. */
  constructor(tasks: readonly string[]) {
    this.#pending = new Map(tasks.map((task) => [task, undefined]));
  }

  done(task: string): void {
    this.#pending.delete(task);
  }

  pending(task: string, because?: string): void {
    this.#pending.set(task, because);
  }

  report(): ReadinessReport {
    if (this.#pending.size === 0) return { ready: true, text: 'ready\n' };
    const pending = [...this.#pending].map(([task, because]) =>
      because === undefined ? task : `${task} (${because})`,
    );
    return { ready: false, text: `not ready, pending: ${pending.toSorted().join(', ')}\n` };
  }
}
