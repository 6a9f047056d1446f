import { settingsOrExit } from '#common/settings-only.ts';
import { runUntilSignalled } from '#common/signalled-program.ts';

const usage = `Usage: node_modules/.bin/node ztunnel/main.ts

The node tunnel. It takes no arguments: its settings are environment variables, which say above all where
the mesh is described: by a control plane (XDS_ADDRESS) or in a file (LOCAL_XDS_PATH). docs/operating.md
describes all of them.
`;

const status = await runUntilSignalled('ztunnel', usage, async () => {
  const { returnFreedMemory } = await import('#linux/malloc.ts');
  returnFreedMemory();
  const { readConfig } = await import('./config.ts');
  const { App } = await import('./app.ts');
  const { config, warnings } = settingsOrExit('ztunnel', readConfig());
  return new App(config, warnings);
});
process.exit(status);
