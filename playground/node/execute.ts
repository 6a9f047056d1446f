import { type ChildProcess, spawn } from 'node:child_process';

import type { ContainerProcess } from './container-process.ts';
import { enterCommand } from './container-script.ts';

/** Most that is kept of what a command says. */
const OUTPUT_BYTES_MAX = 16 << 10;

/** Starts a command in a running container, in a process group of its own; in a session of its own with a `terminal`. */
export function spawnInside(
  container: ContainerProcess,
  command: readonly string[],
  stdio: readonly ('pipe' | 'ignore' | number)[] = ['ignore', 'pipe', 'pipe'],
  terminal = false,
): ChildProcess {
  const [program = '', ...args] = enterCommand(container.pid, container.launch, command, terminal);
  return spawn(program, args, { stdio: [...stdio], detached: true });
}

/** Runs a command in a container to its end; 124 when it took too long. */
export async function executeInside(
  container: ContainerProcess,
  command: readonly string[],
  timeoutMs: number,
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawnInside(container, command);
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      if (output.length < OUTPUT_BYTES_MAX) output += chunk;
    });
  }
  const timer = setTimeout(() => {
    resolve({ code: 124, output: `command timed out after ${timeoutMs / 1_000}s` });
    killGroup(child);
  }, timeoutMs);
  child.once('error', (error) => resolve({ code: 127, output: error.message }));
  child.once('close', (code) => resolve({ code: code ?? 137, output }));
  return promise.finally(() => clearTimeout(timer));
}

/** "nsenter" waits outside for what it started inside: both are to end. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // It has ended on its own: that was the wish.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
