import { keepCompiledCode } from './compile-cache.ts';
import { takeNoArguments } from './settings-only.ts';

/** A program that serves until a signal ends it. */
export interface SignalledProgram {
  /** The end has begun. */
  readonly stopping: boolean;
  /** Serves until the end; a text says why it could not. */
  run(): Promise<string | undefined>;
  /** Begins the end, and returns at once. */
  shutDown(why: string): void;
}

/**
 * The main file of such a program: answers `--help`, loads and serves. Returns what the process is to end with. `load` imports everything large:
 * what is imported before it is called is compiled before the cache of compiled code is there.
 */
export async function runUntilSignalled(
  name: string,
  usage: string,
  load: () => Promise<SignalledProgram>,
): Promise<0 | 1> {
  takeNoArguments(usage);
  // First of all: the first process of a container gets no signal that it does not listen for.
  let program: SignalledProgram | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Nothing is there yet that would have to end.
      if (program === undefined) process.exit(0);
      // A second Ctrl-C does not wait.
      if (program.stopping && signal === 'SIGINT') process.exit(1);
      program.shutDown(signal);
    });
  }
  keepCompiledCode();
  program = await load();
  const problem = await program.run();
  if (problem !== undefined) process.stderr.write(`${name}: ${problem}\n`);
  return problem === undefined ? 0 : 1;
}
