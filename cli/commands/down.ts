import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

import { playgroundCommand } from '../playground.ts';

export const downUsage = `Usage: ambit down [--name NAME]

Ends a cluster and removes everything that it has left, also when it has ended by itself.

  --name NAME    which (default: ambit)
`;

/** `ambit down`: answers the exit code. */
export async function down(args: readonly string[]): Promise<number> {
  let name: string;
  try {
    const options = { name: { type: 'string', default: 'ambit' } } as const;
    ({ name } = parseArgs({ args: [...args], options }).values);
  } catch (error) {
    process.stderr.write(
      `${error instanceof Error ? error.message : String(error)}\n\n${downUsage}`,
    );
    return 1;
  }
  return endCluster(name, 'inherit');
}

/** Ends the cluster of this name; answers the exit code. */
export async function endCluster(name: string, output: 'inherit' | 'ignore'): Promise<number> {
  const [program = '', ...first] = playgroundCommand();
  const child = spawn(program, [...first, '--name', name, '--down'], {
    stdio: ['ignore', output, 'inherit'],
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('exit', (code) => resolve(code ?? 1));
  return promise;
}
