/** Something that somebody talks to: a command of their own in a container, or the container's program. */
export interface Session {
  /** False: wait for `inputDrained`. */
  input(chunk: Buffer): boolean;
  endInput(): void;
  resize(columns: number, rows: number): void;
  /** There is room for output again, after `output` has answered false. */
  resumeOutput(): void;
  /** Nobody is interested any more. */
  abort(): void;
}

/** Who takes what is said in a session. */
export interface SessionSink {
  /** False: there is no room, `resumeOutput` is called when there is. */
  output(stream: 'stdout' | 'stderr', chunk: Buffer): boolean;
  /** There is room for input again, after `input` has answered false. */
  inputDrained(): void;
  /** The last call. */
  finished(exitCode: number): void;
}

/** Which streams somebody wants to have. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}
