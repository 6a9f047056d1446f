import { settingsOrExit } from '#common/settings-only.ts';
import { runUntilSignalled } from '#common/signalled-program.ts';

const usage = `Usage: node_modules/.bin/node waypoint/main.ts

The layer 7 proxy of a namespace or service. It takes no arguments: its settings are environment variables, which istiod
writes into the Deployment that it makes of a Gateway of class istio-waypoint.
`;

const status = await runUntilSignalled('waypoint', usage, async () => {
  const { returnFreedMemory } = await import('#linux/malloc.ts');
  returnFreedMemory();
  const { readConfig } = await import('./config.ts');
  const { App } = await import('./app.ts');
  return new App(settingsOrExit('waypoint', readConfig()).config);
});
process.exit(status);
