import { expect } from 'chai';
import { describe, it } from 'mocha';

import { portsOf } from '#playground/node/streaming/port-forward-websocket.ts';

const ports = (query: string) => portsOf(new URLSearchParams(query));
const many = (count: number): string => `ports=${Array(count).fill(80).join(',')}`;

describe('portsOf()', () => {
  it('reads the ports of a request, one by one and all in one', () => {
    expect(ports('ports=80')).to.deep.equal([80]);
    expect(ports('ports=80&ports=443')).to.deep.equal([80, 443]);
    expect(ports('ports=80,443')).to.deep.equal([80, 443]);
  });

  it('takes nothing that is no port', () => {
    for (const query of ['', 'ports=', 'ports=0', 'ports=65536', 'ports=http', 'ports=80,']) {
      expect(ports(query), query).to.equal(undefined);
    }
  });

  it('takes no more than channels can be named', () => {
    expect(ports(many(127))).to.have.length(127);
    expect(ports(many(128))).to.equal(undefined);
  });
});
