import { accessSync, constants, statSync } from 'node:fs';
import { constants as system, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';

import { becomeRoot, endWithParent } from '#tests/bed/root.ts';

import { openScreen, type Screen, styled } from './screen.ts';
import { SHOP_PORT, Stage, type StageOptions } from './stage.ts';
import { accessLogs } from './steps/access-logs.ts';
import { handOver } from './steps/hand-over.ts';
import { inTheClear } from './steps/in-the-clear.ts';
import { policy } from './steps/policy.ts';
import { serverKilled } from './steps/server-killed.ts';
import { throughTheTunnels } from './steps/through-the-tunnels.ts';
import { tellStory } from './story.ts';
import { waysToLook } from './ways-to-look.ts';

const usage = `Usage: npm run demo:tunnel [-- options]

Two nodes, four pods and two node tunnels on this machine, and what they do, with evidence.
Needs Linux and root or user namespaces; leaves nothing behind.

  --keep             stay after the story, to look around; Ctrl-C ends it
  --tunnel COMMAND   another node tunnel than this project's, with the same environment
  --help             show this text
`;

const steps = [inTheClear, throughTheTunnels, accessLogs, policy, serverKilled, handOver];

const EXIT_USAGE = 2;
/** Of the directory that the demo's sockets are in: the path of one has at most 107. */
const DIRECTORY_BYTES_MAX = 50;

const screen = openScreen(process.stdout, process.env);
// A reader that has seen enough, such as head(1): the story has ended.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', () => endBy('SIGPIPE'));
}
const options = readOptions();
if (typeof options === 'string') {
  process.stderr.write(`${options}\n\n${usage}`);
  process.exitCode = EXIT_USAGE;
} else if (options.help) screen.write(usage);
else process.exitCode = await main(options);

interface Options {
  readonly keep: boolean;
  readonly tunnel: readonly string[] | undefined;
  readonly help: boolean;
}

/** A text says what is wrong. */
function readOptions(): Options | string {
  try {
    const { values } = parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        tunnel: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const tunnel = values.tunnel?.trim().split(/\s+/);
    const [program] = tunnel ?? [];
    if (program !== undefined && !isProgram(program)) {
      return `Cannot run the node tunnel "${program}" (--tunnel): no such program`;
    }
    return unusableDirectory(tmpdir()) ?? { keep: values.keep, tunnel, help: values.help };
  } catch (error) {
    // The first sentence says what; the others explain how to escape a dash.
    const [what = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1);
    return what;
  }
}

function unusableDirectory(path: string): string | undefined {
  const what = `Cannot keep files in "${path}" (TMPDIR)`;
  if (Buffer.byteLength(path) > DIRECTORY_BYTES_MAX) {
    return `${what}: want a path of at most ${DIRECTORY_BYTES_MAX} bytes, for the sockets in it`;
  }
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return `${what}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function isProgram(name: string): boolean {
  const folders = name.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => {
    const path = folder === '' ? name : join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}

/** Ends as a shell tells of this signal. The world removes itself while the process exits. */
function endBy(signal: NodeJS.Signals): never {
  // oxlint-disable-next-line unicorn/no-process-exit -- this is the end of a program
  process.exit(128 + system.signals[signal]);
}

async function main({ keep, tunnel }: Options): Promise<number> {
  endWithParent();
  const standing = await becomeRoot();
  if (standing.kind === 'done') return standing.exitCode;
  if (standing.kind === 'refused') {
    process.stderr.write(`Cannot show the demo: ${standing.what}\n`);
    return 1;
  }
  // The world removes itself while the process exits, whatever the reason. A terminal's Ctrl-C may
  // arrive more than once.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => endBy(name));
  }
  return play(tunnel === undefined ? {} : { tunnelCommand: tunnel }, keep);
}

async function play(stageOptions: StageOptions, keep: boolean): Promise<number> {
  const stage = await Stage.open(stageOptions);
  try {
    screen.write(
      `${styled(screen, 'strong', 'Ambit')}: two nodes, four pods\n\n${drawMap(stage)}\n`,
    );
    const held = await tellStory(screen, stage, steps);
    if (keep) await stay(screen, stage);
    return held ? 0 : 1;
  } finally {
    await stage.world.dispose();
  }
}

function drawMap({ east, west, till, guest, shop, stock }: Stage): string {
  const left = [till, guest].map((pod) => `${pod.name.padEnd(5)}  ${pod.ipv4}`);
  const right = [shop, stock].map((pod) => `${pod.name.padEnd(5)}  ${pod.ipv4}`);
  const wire = `├─ ${east.name} ═══════ ${west.name} ─┤`;
  const gap = ' '.repeat(wire.length - 2);
  return [
    `  ${left[0]} ─┐${gap}┌─ ${right[0]}:${SHOP_PORT}`,
    `  ${' '.repeat(left[0]?.length ?? 0)}  ${wire}`,
    `  ${left[1]} ─┘${gap}└─ ${right[1]}`,
  ].join('\n');
}

async function stay(on: Screen, stage: Stage): Promise<never> {
  on.write(`\n${waysToLook(stage)}\n`);
  return new Promise(() => setInterval(() => {}, 60_000));
}
