import { keepCompiledCode, saveCompiledCode } from '#common/compile-cache.ts';
import { settingsOrExit, takeNoArguments } from '#common/settings-only.ts';

const usage = `Usage: node_modules/.bin/node cni/agent/main.ts

The node agent: brings the pods of its node into the mesh, and installs the CNI plugin. It takes no arguments: its
settings are environment variables, of which NODE_NAME is required. docs/operating-cni.md describes all of them.
`;
takeNoArguments(usage);

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { readConfig } = await import('./config.ts');
const { App } = await import('./app.ts');

const read = settingsOrExit('The node agent', readConfig());

const app = new App(read.config, read.warnings);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => app.shutDown(signal));
}
setTimeout(saveCompiledCode, 3_000).unref();
const problem = await app.run();
if (problem !== undefined) process.stderr.write(`cni: ${problem}\n`);
process.exit(problem === undefined ? 0 : 1);
