#!/usr/bin/env node
// The command `ambit`. Runs before the project's own Node is there: plain JavaScript, no package, Node 20 or newer.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const setup = spawnSync(process.execPath, [`${root}tools/setup.mjs`, 'up'], {
  stdio: ['ignore', 2, 2],
});
if (setup.status !== 0) process.exit(setup.status ?? 1);
const brought = `${root}node_modules/.bin/node`;
const node = existsSync(brought) ? brought : process.execPath;
const args = [`${root}cli/main.ts`, ...process.argv.slice(2)];
// Newer versions become the other program: whatever ends this process ends the command.
if (process.execve !== undefined) process.execve(node, [node, ...args]);
const child = spawn(node, args, { stdio: 'inherit' });
// The terminal sends SIGINT to the child too; the others come to us alone.
process.on('SIGINT', () => {});
for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
child.once('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
