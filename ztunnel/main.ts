import { App } from './app.ts';
import { readConfig } from './config.ts';

const read = readConfig();
if (read.kind === 'refused') {
  const problems = read.problems.map((problem) => `  ${problem}\n`).join('');
  process.stderr.write(`ztunnel cannot start, its settings are wrong:\n${problems}`);
  process.exit(1);
}

const app = new App(read.config, read.warnings);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  // A second Ctrl-C does not wait.
  process.on(signal, () =>
    app.stopping && signal === 'SIGINT' ? process.exit(1) : app.shutDown(signal),
  );
}
const problem = await app.run();
if (problem !== undefined) process.stderr.write(`ztunnel: ${problem}\n`);
process.exit(problem === undefined ? 0 : 1);
