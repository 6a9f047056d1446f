// A caller that a pod runs: does over the network what it is told, and tells what it has seen.
//
//   node tests/bed/programs/errands.ts
//
// Says `ready`, then reads a JSON object `{id, errand, given}` per line and answers each with `{id, seen}` or `{id, error}`, in any order.
import { createInterface } from 'node:readline';

import { errands } from '../errands/errands.ts';

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, errand, given } = JSON.parse(line) as {
    readonly id: number;
    readonly errand: keyof typeof errands;
    readonly given: never;
  };
  const tell = (answer: object): void => {
    process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
  };
  errands[errand](given).then(
    (seen: unknown) => tell({ seen }),
    (error: unknown) => tell({ error: String(error) }),
  );
});
process.stdin.once('end', () => process.kill(process.pid));
process.stdout.write('ready\n');
