import { parseArgs } from 'node:util';

import { becomeRoot } from '#tests/bed/root.ts';

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

const usage = `Usage: npm run demo [-- options]

Two nodes, four pods and two node tunnels on this machine, and what they do, with evidence.
Needs Linux and root or user namespaces; leaves nothing behind.

  --keep             stay after the story, to look around; Ctrl-C ends it
  --tunnel COMMAND   another node tunnel than this project's, with the same environment
  --help             show this text
`;

const steps = [inTheClear, throughTheTunnels, accessLogs, policy, serverKilled, handOver];

const { values } = parseArgs({
  options: {
    keep: { type: 'boolean', default: false },
    tunnel: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const screen = openScreen(process.stdout, process.env);
if (values.help) screen.write(usage);
else process.exitCode = await main();

async function main(): Promise<number> {
  const standing = await becomeRoot();
  if (standing.kind === 'done') return standing.exitCode;
  if (standing.kind === 'refused') {
    process.stderr.write(`Cannot show the demo: ${standing.what}\n`);
    return 1;
  }
  // The world removes itself while the process exits, whatever the reason. A terminal's Ctrl-C may
  // arrive more than once.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // oxlint-disable-next-line unicorn/no-process-exit -- this is the end of a program
    process.on(name, () => process.exit(130));
  }
  const command = values.tunnel?.trim().split(/\s+/);
  return play(command === undefined ? {} : { tunnelCommand: command });
}

async function play(options: StageOptions): Promise<number> {
  const stage = await Stage.open(options);
  try {
    screen.write(
      `${styled(screen, 'strong', 'Ambit')}: two nodes, four pods\n\n${drawMap(stage)}\n`,
    );
    const held = await tellStory(screen, stage, steps);
    if (values.keep) await stay(screen, stage);
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
