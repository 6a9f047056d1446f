import { identityOf } from '#tests/bed/mesh-configuration.ts';

import { showAccessLog } from '../access-log.ts';
import { hold, type Stage } from '../stage.ts';
import type { Step } from '../story.ts';

const SHOWN = [
  'src.addr',
  'src.identity',
  'dst.addr',
  'dst.hbone_addr',
  'dst.identity',
  'direction',
  'bytes_sent',
  'bytes_recv',
  'duration',
];

export const accessLogs: Step<Stage> = {
  title: 'Both nodes have logged who talked to whom, proven by certificates',
  async *run(stage) {
    const identities = {
      'src.identity': identityOf(stage.till),
      'dst.identity': identityOf(stage.shop),
    };
    for (const [node, direction] of [
      [stage.east, 'outbound'],
      [stage.west, 'inbound'],
    ] as const) {
      const line = await stage.accessLog(node, { ...identities, direction });
      hold(
        line !== undefined,
        `${node.name} has no ${direction} line with src.identity ${identities['src.identity']} and dst.identity ${identities['dst.identity']}`,
      );
      yield showAccessLog(node.name, line, SHOWN);
    }
  },
};
