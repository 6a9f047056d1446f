import type { ContainerProcess } from '../container-process.ts';

import type { Session, SessionSink, WantedStreams } from './session.ts';

/** Somebody who listens to a container's own program, and talks to it when it listens. */
export class AttachSession implements Session {
  readonly #container: ContainerProcess;
  readonly #wanted: WantedStreams;
  readonly #sink: SessionSink;
  readonly #detach: (() => void)[] = [];
  /** Gives way again to what the container says. */
  #resume: (() => void) | undefined;

  constructor(container: ContainerProcess, wanted: WantedStreams, sink: SessionSink) {
    this.#container = container;
    this.#wanted = wanted;
    this.#sink = sink;
    this.#detach.push(
      container.onOutput((stream, chunk) => {
        if (!(stream === 'stdout' ? wanted.stdout : wanted.stderr)) return;
        // Its log waits, too, as with any runtime.
        if (!sink.output(stream, chunk)) this.#resume ??= container.pauseOutput();
      }),
    );
    if (wanted.stdin) this.#detach.push(container.onInputDrained(() => sink.inputDrained()));
    void container.exited.then(() => this.#finish());
  }

  input(chunk: Buffer): boolean {
    return this.#wanted.stdin ? this.#container.input(chunk) : true;
  }

  endInput(): void {
    if (this.#wanted.stdin) this.#container.inputLeft();
  }

  resize(columns: number, rows: number): void {
    if (this.#wanted.tty) this.#container.resize(columns, rows);
  }

  resumeOutput(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  abort(): void {
    if (this.#detach.length === 0) return;
    this.endInput();
    this.#leave();
  }

  #finish(): void {
    if (this.#detach.length === 0) return;
    this.#leave();
    // How the container has ended is told in its pod's status.
    this.#sink.finished(0);
  }

  #leave(): void {
    for (const detach of this.#detach.splice(0)) detach();
    this.resumeOutput();
  }
}
