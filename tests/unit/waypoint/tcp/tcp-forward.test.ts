import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ByteBudget } from '#reactor/byte-budget.ts';
import type { Channel, ChannelUser } from '#waypoint/channel/channel.ts';
import type { ConnectionFacts } from '#waypoint/exchange/decision.ts';
import { TcpForward, type TcpHost } from '#waypoint/tcp/tcp-forward.ts';
import type { ChannelWaiter } from '#waypoint/upstream/dialer.ts';

/** A channel whose peer takes nothing. */
class StuckChannel implements Channel {
  user!: ChannelUser;
  queued = 0;
  readonly isOpen = true;
  readonly overflows = false;
  /** How much the peer has been given credit for. */
  consumed = 0;

  write(_bytes: Buffer, start: number, end: number): void {
    this.queued += end - start;
  }

  consume(length: number): void {
    this.consumed += length;
  }

  finish(): void {
    // Its peer takes nothing.
  }

  abort(): void {
    this.queued = 0;
  }
}

describe('TcpForward', () => {
  it('gives back all credit when both sides have ended, also for what still waits', () => {
    const [client, server] = [new StuckChannel(), new StuckChannel()];
    let waiter: ChannelWaiter | undefined;
    let ended = false;
    const host = {
      loop: { nowMs: 0 },
      chooser: { choose: () => ({ workload: { uid: 'pod' } }) },
      servers: { load: () => 0, addLoad: () => undefined },
      dialer: {
        dial: (_endpoint: unknown, given: ChannelWaiter) => {
          waiter = given;
          return { cancel: () => undefined };
        },
      },
      random: () => 0,
      limits: { connectionsPerEndpoint: 1 },
      kept: new ByteBudget(1_000_000),
      judge: () => undefined,
      tcpOpened: () => undefined,
      tcpClosed: () => undefined,
    } as unknown as TcpHost;
    const open =
      (channel: StuckChannel) =>
      (user: ChannelUser): Channel => {
        channel.user = user;
        return channel;
      };
    void new TcpForward(host, {} as ConnectionFacts, open(client), () => (ended = true));
    waiter?.onChannel(open(server));
    const bytes = Buffer.alloc(1_000);
    client.user.onBytes(bytes, 0, 1_000);
    client.user.onFinished();
    server.user.onBytes(bytes, 0, 1_000);
    expect([client.consumed, server.consumed]).to.deep.equal([0, 0]);
    server.user.onFinished();
    expect(ended).to.equal(true);
    expect([client.consumed, server.consumed]).to.deep.equal([1_000, 1_000]);
  });
});
