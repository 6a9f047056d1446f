import { constants as system } from 'node:os';
import { parseArgs } from 'node:util';

import { keepCompiledCode } from '#common/compile-cache.ts';
import { killAllGroups } from '#tests/bed/process.ts';
import { endWithParent } from '#tests/bed/root.ts';

import { openScreen, styled } from '../screen.ts';
import { tellStory } from '../story.ts';
import { Shop } from './shop.ts';
import { accessLogs } from './steps/access-logs.ts';
import { handOver } from './steps/hand-over.ts';
import { inTheClear } from './steps/in-the-clear.ts';
import { intoTheMesh } from './steps/into-the-mesh.ts';
import { openShop } from './steps/open-shop.ts';
import { policy } from './steps/policy.ts';
import { serverKilled } from './steps/server-killed.ts';
import { strict } from './steps/strict.ts';
import { waypoint } from './steps/waypoint.ts';

const usage = `Usage: npm run demo [-- options]

The whole mesh on this machine: a small Kubernetes of two nodes, a shop in it, and what the mesh does, with evidence.
Needs Linux and root or user namespaces; leaves nothing behind. On a terminal it stays after the story, to look around.

  --once    end after the story
  --help    show this text
`;

const steps = [
  openShop,
  inTheClear,
  intoTheMesh,
  accessLogs,
  policy,
  strict,
  handOver,
  serverKilled,
  waypoint,
];
const EXIT_USAGE = 2;

const screen = openScreen(process.stdout, process.env);
const options = readOptions();
if (typeof options === 'string') {
  process.stderr.write(`${options}\n\n${usage}`);
  process.exitCode = EXIT_USAGE;
} else if (options.help) screen.write(usage);
else process.exitCode = await main(options.once || !process.stdin.isTTY || !process.stdout.isTTY);

/** A text says what is wrong. */
function readOptions(): { readonly once: boolean; readonly help: boolean } | string {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values;
  } catch (error) {
    // The first sentence says what; the others explain how to escape a dash.
    const [what = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1);
    return what;
  }
}

async function main(once: boolean): Promise<number> {
  endWithParent();
  keepCompiledCode();
  const shop = new Shop(`demo-${process.pid}`);
  const stopped = Promise.withResolvers<number>();
  const endBy = (signal: NodeJS.Signals): void => stopped.resolve(128 + system.signals[signal]);
  // A terminal's Ctrl-C may arrive more than once.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => endBy(name));
  // A reader that has seen enough, such as head(1): the story has ended.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => endBy('SIGPIPE'));
  }
  process.on('exit', killAllGroups);
  try {
    return await Promise.race([stopped.promise, play(shop, once)]);
  } finally {
    screen.write(`\n${styled(screen, 'quiet', 'cleaning up …')}\n`);
    await shop.down();
  }
}

async function play(shop: Shop, once: boolean): Promise<number> {
  screen.write(`${styled(screen, 'strong', 'Ambit')}: the whole mesh on this machine\n`);
  const held = await tellStory(screen, shop, steps);
  if (!once) {
    screen.write(`\n${waysToLook(shop)}\n`);
    await new Promise<never>(() => setInterval(() => {}, 60_000));
  }
  return held ? 0 : 1;
}

function waysToLook(shop: Shop): string {
  return [
    'Everything stays until Ctrl-C. From another terminal:',
    '',
    `  export KUBECONFIG=${shop.kubeconfig}`,
    '  kubectl get pods -A -o wide',
    '  kubectl exec -n shop till -- curl -s http://productpage:9080/productpage',
    '  kubectl logs -n istio-system -l app=ztunnel -f',
  ].join('\n');
}
