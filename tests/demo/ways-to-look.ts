import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { Place } from '#tests/bed/world.ts';

import { SHOP_PORT, type Stage } from './stage.ts';

/** Commands for a second terminal, while the story's world stays. */
export function waysToLook(stage: Stage): string {
  const enter = enterWorld();
  const inside = (place: Place, command: string): string =>
    `  ${enter}ip netns exec ${basename(place.netns)} ${command}`;
  return [
    'Everything stays until Ctrl-C. From another terminal:',
    '',
    inside(stage.till, `curl http://${stage.shop.ipv4}:${SHOP_PORT}/order`),
    inside(stage.east, 'curl localhost:15000/config_dump'),
    inside(stage.west, 'curl localhost:15020/stats/prometheus'),
    inside(stage.east, `tcpdump -ni ${stage.world.wireTo(stage.west)} -A tcp`),
    '',
    'Workloads and policies are in this file; the tunnels read it again when it changes:',
    `  ${join(stage.world.directory, 'mesh.yaml')}`,
  ].join('\n');
}

/** In a user namespace the names are only known inside: how to get there as the same plain user. */
function enterWorld(): string {
  const isMachineRoot = /^\s*0\s+0\s+4294967295\s*$/.test(
    readFileSync('/proc/self/uid_map', 'utf8'),
  );
  if (isMachineRoot) return '';
  return 'nsenter --preserve-credentials -U -m -t $(pgrep -n -f tests/demo/main.ts) ';
}
