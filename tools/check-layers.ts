// Checks who imports whom: dependency-cruiser over every folder that exists, with the rules of
// .dependency-cruiser.mjs. It passes without looking when it does not understand the installed
// TypeScript, so a run that saw no module fails here.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

import { sourceFolders } from './source-folders.ts';

const folders = sourceFolders.filter((folder) => existsSync(folder));
const run = spawnSync('depcruise', ['--config', '.dependency-cruiser.mjs', ...folders], {
  encoding: 'utf8',
});
const report = `${run.stdout}${run.stderr}`.trim();
console.log(report);

const cruised = Number(/(\d+) modules/.exec(report)?.[1] ?? 0);
if (run.error !== undefined) {
  console.error(`Cannot start depcruise (${run.error.message}): run "npm ci" and "npm run layers"`);
}
if (cruised === 0) console.error('No module was cruised: the layer rules have checked nothing');
process.exitCode = run.status === 0 && cruised > 0 ? 0 : 1;
