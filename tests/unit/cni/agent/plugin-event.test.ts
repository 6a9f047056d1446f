import { expect } from 'chai';
import { describe, it } from 'mocha';

import { readPluginEvent } from '#cni/agent/plugin-event.ts';
import { addEvent } from '#cni/plugin/agent-client.ts';

const good = { Netns: '/var/run/netns/a', PodName: 'till-0', PodNamespace: 'shop' };

describe('readPluginEvent()', () => {
  it('reads what our plugin sends', () => {
    const pod = { namespace: 'shop', name: 'till-0', uid: 'u1' };
    const event = addEvent(pod, '/var/run/netns/a', [
      { address: '10.2.3.4/24' },
      { address: 'fd00::4/64' },
    ]);
    expect(readPluginEvent(JSON.stringify(event))).to.deep.equal({
      kind: 'event',
      event: {
        namespace: 'shop',
        name: 'till-0',
        uid: 'u1',
        netnsPath: '/var/run/netns/a',
        addresses: ['10.2.3.4', 'fd00::4'],
        agentDecides: true,
      },
    });
  });

  it('reads what other plugins send: no uid, null for no addresses, the decision made', () => {
    const read = readPluginEvent(JSON.stringify({ ...good, IPs: null }));
    expect(read).to.deep.include({ kind: 'event' });
    expect(read.kind === 'event' && read.event).to.include({ uid: undefined, agentDecides: false });
  });

  const bad: readonly (readonly [string, string])[] = [
    ['', 'not JSON'],
    [`${JSON.stringify(good)} and more`, 'not JSON'],
    ['[]', 'want a JSON object'],
    [JSON.stringify({ ...good, Netns: '' }), '"Netns" is missing or empty'],
    [JSON.stringify({ ...good, PodName: 7 }), '"PodName" is missing or empty'],
    [JSON.stringify({ Netns: '/x', PodName: 'a' }), '"PodNamespace" is missing or empty'],
    [JSON.stringify({ ...good, IPs: {} }), '"IPs" is not a list'],
    [JSON.stringify({ ...good, IPs: [{ Address: '10.0.0.1' }] }), '"IPs[0].Address.IP" is missing'],
    // It would be written into the node's rules.
    [
      JSON.stringify({ ...good, IPs: [{ Address: { IP: '10.0.0.1 } } chain x { drop; }' } }] }),
      '"IPs[0].Address.IP" is no IP address',
    ],
  ];
  for (const [text, why] of bad) {
    it(`refuses ${text || 'nothing'}`, () => {
      const read = readPluginEvent(text);
      expect(read.kind === 'refused' && read.reason).to.contain(why);
    });
  }
});
