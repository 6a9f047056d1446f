// Runs a command with what network namespaces need: `node tests/bed/as-root.ts COMMAND [ARGUMENT…]`.
// As root directly, as a plain user inside a user namespace.
import { spawn } from 'node:child_process';

import { becomeRoot, endWithParent } from './root.ts';

const [program = 'true', ...rest] = process.argv.slice(2);
endWithParent();
const standing = await becomeRoot([program, ...rest]);

switch (standing.kind) {
  case 'root': {
    const child = spawn(program, rest, { stdio: 'inherit' });
    // The terminal sends this one to the command too: let it clean up.
    process.on('SIGINT', () => undefined);
    process.on('SIGTERM', () => child.kill('SIGTERM'));
    child.once('exit', (code) => {
      process.exitCode = code ?? 1;
    });
    break;
  }
  case 'done':
    process.exitCode = standing.exitCode;
    break;
  case 'refused':
    process.stderr.write(`Cannot run "${program}": ${standing.what}\n`);
    process.exitCode = 1;
    break;
}
