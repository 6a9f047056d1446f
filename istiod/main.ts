import { keepCompiledCode } from '#common/compile-cache.ts';
import { settingsOrExit, takeNoArguments } from '#common/settings-only.ts';

const usage = `Usage: node_modules/.bin/node istiod/main.ts

The control plane. It takes no arguments: its settings are environment variables. It talks to the API server
of the cluster that it runs in, or to that of the file that KUBECONFIG names.
`;
takeNoArguments(usage);

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { readConfig } = await import('./config.ts');
const { App } = await import('./app.ts');

const read = settingsOrExit('istiod', readConfig());

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
