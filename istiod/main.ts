import { keepCompiledCode } from '#common/compile-cache.ts';

const usage = `Usage: node_modules/.bin/node istiod/main.ts

The control plane. It takes no arguments: its settings are environment variables. It talks to the API server
of the cluster that it runs in, or to that of the file that KUBECONFIG names.
`;
const [argument] = process.argv.slice(2);
if (argument === '--help' || argument === '-h') {
  process.stdout.write(usage);
  process.exit(0);
}
if (argument !== undefined) {
  process.stderr.write(`Unknown argument ${JSON.stringify(argument)}\n\n${usage}`);
  process.exit(1);
}

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { readConfig } = await import('./config.ts');
const { App } = await import('./app.ts');

const read = readConfig();
if (read.kind === 'refused') {
  const problems = read.problems.map((problem) => `  ${problem}\n`).join('');
  process.stderr.write(`istiod cannot start, its settings are wrong:\n${problems}`);
  process.exit(1);
}

try {
  const app = new App(read.config);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // A second Ctrl-C does not wait.
      if (app.stopped && signal === 'SIGINT') process.exit(1);
      void app.stop(signal).then(() => process.exit(0));
    });
  }
  await app.start();
} catch (error) {
  process.stderr.write(`istiod: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
