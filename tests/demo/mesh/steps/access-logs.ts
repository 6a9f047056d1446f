import { showAccessLog } from '../../access-log.ts';
import type { Step } from '../../story.ts';
import { hold, identityOf, SHOP, type Shop } from '../shop.ts';

const SHOWN = [
  'src.addr',
  'src.workload',
  'src.identity',
  'dst.addr',
  'dst.service',
  'dst.workload',
  'dst.identity',
  'direction',
];

export const accessLogs: Step<Shop> = {
  title: 'kubectl logs of both node tunnels name both sides, proven by certificates',
  async *run(shop) {
    const till = await shop.pod(SHOP, 'app=till');
    const details = await shop.pod(SHOP, 'app=details');
    const identities = {
      'src.identity': identityOf(SHOP, 'till'),
      'dst.identity': identityOf(SHOP, 'bookinfo-details'),
    };
    for (const [node, direction] of [
      [till.spec.nodeName ?? '', 'outbound'],
      [details.spec.nodeName ?? '', 'inbound'],
    ] as const) {
      const line = await shop.accessLog(node, { ...identities, direction });
      const wanted = Object.entries(identities).map(([key, value]) => `${key} ${value}`);
      hold(
        line !== undefined,
        `The tunnel of ${node} has no ${direction} line with ${wanted.join(' and ')}`,
      );
      yield showAccessLog(node, line, SHOWN);
    }
  },
};
