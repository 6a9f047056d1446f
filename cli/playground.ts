import { homedir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';

/** Where clusters keep their directories: `$XDG_STATE_HOME/ambit`, or `~/.local/state/ambit`. */
export function stateDirectory(environment: NodeJS.ProcessEnv = env): string {
  const base = environment['XDG_STATE_HOME'];
  // The specification wants relative paths to be ignored.
  if (base?.startsWith('/') === true) return join(base, 'ambit');
  return join(homedir(), '.local/state/ambit');
}

/** The program that runs clusters, with the arguments that all uses have. */
export function playgroundCommand(): readonly string[] {
  const program = fileURLToPath(new URL('../playground/main.ts', import.meta.url));
  return [process.execPath, program, '--state', stateDirectory()];
}
