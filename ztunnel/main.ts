import { keepCompiledCode } from '#common/compile-cache.ts';
import { settingsOrExit, takeNoArguments } from '#common/settings-only.ts';

import type { App } from './app.ts';

const usage = `Usage: node_modules/.bin/node ztunnel/main.ts

The node tunnel. It takes no arguments: its settings are environment variables, which say above all where
the mesh is described: by a control plane (XDS_ADDRESS) or in a file (LOCAL_XDS_PATH). docs/operating.md
describes all of them.
`;
takeNoArguments(usage);

// First of all: the first process of a container gets no signal that it does not listen for.
let app: App | undefined;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    // Nothing is there yet that would have to end.
    if (app === undefined) process.exit(0);
    // A second Ctrl-C does not wait.
    if (app.stopping && signal === 'SIGINT') process.exit(1);
    app.shutDown(signal);
  });
}

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { returnFreedMemory } = await import('#linux/malloc.ts');
returnFreedMemory();
const { readConfig } = await import('./config.ts');
const { App: Program } = await import('./app.ts');

const read = settingsOrExit('ztunnel', readConfig());

app = new Program(read.config, read.warnings);
const problem = await app.run();
if (problem !== undefined) process.stderr.write(`ztunnel: ${problem}\n`);
process.exit(problem === undefined ? 0 : 1);
