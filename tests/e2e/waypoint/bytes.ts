import { expect } from 'chai';
import { it } from 'mocha';

import { type Stage, untilLogged } from './stage.ts';

const DATA = { host: 'peer', port: 90 };
const GREETING = { host: 'peer', port: 91 };

export function theBytes(on: () => Stage): void {
  it('say anything on a port for TCP, also what looks like HTTP', async () => {
    const lines = [
      'GET / HTTP/1.1\r\n\r\n',
      '\u0000\u0001\u00ff',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ];
    for (const say of lines) {
      const seen = await on().till.do('rawTalk', { ...DATA, turns: [{ say }, { until: say }] });
      expect(seen).to.deep.equal({ heard: say });
    }
    await untilLogged(on(), 'connection complete', 'dst.service="peer.shop.svc.cluster.local"');
  });

  it('wait for a server that speaks first', async () => {
    const turns = [{ until: '220 v1\r\n', say: 'HELO till\r\n' }, { until: 'HELO till\r\n' }];
    const seen = await on().till.do('rawTalk', { ...GREETING, turns });
    expect(seen).to.deep.equal({ heard: '220 v1\r\nHELO till\r\n' });
  });
}
