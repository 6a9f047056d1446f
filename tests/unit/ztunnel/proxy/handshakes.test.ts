import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Tunnel } from '#hbone/tunnel.ts';
import { ip } from '#tests/support/mesh.ts';
import { Handshakes } from '#ztunnel/proxy/handshakes.ts';

describe('Handshakes', () => {
  it('add() names the oldest of an address that has 128, and nobody of another', () => {
    const handshakes = new Handshakes();
    const [oldest, ...others] = from('10.0.1.10', 128);
    const other = one('10.0.1.11');
    expect(yieldingTo(handshakes, [other, oldest, ...others])).to.deep.equal([]);
    expect(yieldingTo(handshakes, from('10.0.1.10', 1))).to.deep.equal([oldest]);
  });

  it('add() lets everybody in however many strangers there are: the oldest of who has most gives way', () => {
    const handshakes = new Handshakes();
    const early = one('10.0.1.9');
    const strangers = Array.from({ length: 9 }, (_, each) => from(`10.0.2.${each}`, 111));
    expect(yieldingTo(handshakes, [early, ...strangers.flat()])).to.deep.equal([]);
    const honest = from('10.0.1.10', 3);
    const yielded = yieldingTo(handshakes, honest);
    expect(yielded).to.deep.equal(strangers.slice(0, 3).map(([oldest]) => oldest));
    expect(handshakes.size).to.equal(1_000);
  });

  it('delete() makes room, once', () => {
    const handshakes = new Handshakes();
    const [done, ...others] = from('10.0.1.10', 128);
    yieldingTo(handshakes, [done, ...others]);
    handshakes.delete(done);
    handshakes.delete(done);
    expect(handshakes.size).to.equal(127);
    expect(yieldingTo(handshakes, from('10.0.1.10', 1))).to.deep.equal([]);
  });
});

/** Adds them as the listener does, and returns who gave way. */
function yieldingTo(handshakes: Handshakes, tunnels: readonly Tunnel[]): Tunnel[] {
  return tunnels.flatMap((tunnel) => {
    const yielding = handshakes.add(tunnel);
    if (yielding === undefined) return [];
    handshakes.delete(yielding);
    return [yielding];
  });
}

function from(address: string, count: number): [Tunnel, ...Tunnel[]] {
  return Array.from({ length: count }, () => one(address)) as [Tunnel, ...Tunnel[]];
}

function one(address: string): Tunnel {
  return { remote: { ip: ip(address), port: 1 } } as Tunnel;
}
