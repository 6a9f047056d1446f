import { expect } from 'chai';
import { describe, it } from 'mocha';
import { PeerCounts } from '#dataplane/workers/peer-counts.ts';
import { ip, policy, storeOf, workload } from '#tests/support/mesh.ts';
import { Connections, type PolicedConnection } from '#ztunnel/proxy/connections.ts';

const SHOP = workload('shop', '10.0.2.10');

describe('Connections', () => {
  it('judgeAgain() cuts all that is forbidden, also behind one that fails to be cut', () => {
    const mesh = storeOf({
      workloads: [SHOP],
      policies: [policy('port', { destinationPorts: [7] })],
    });
    const connections = new Connections(mesh, new PeerCounts());
    const cut: string[] = [];
    const connection = (name: string, destinationPort: number): PolicedConnection => ({
      workload: SHOP,
      facts: {
        sourceIp: ip('10.0.1.10'),
        destinationIp: ip('10.0.2.10'),
        destinationPort,
        identity: undefined,
      },
      cut: () => {
        if (name === 'broken') throw new Error('a bug');
        cut.push(name);
      },
    });
    connections.register(connection('broken', 7));
    connections.register(connection('allowed', 8));
    connections.register(connection('forbidden', 7));
    expect(() => connections.judgeAgain()).to.throw('a bug');
    expect(cut).to.deep.equal(['forbidden']);
  });
});
