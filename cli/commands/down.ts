import { parseArgs } from 'node:util';

import { runTask } from '../cluster-process.ts';

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
  return runTask(name, '--down', 'inherit');
}
