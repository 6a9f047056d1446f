import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { Loop } from '#reactor/loop.ts';
import { SlabPool } from '#reactor/memory.ts';
import { TimerWheel } from '#reactor/timers.ts';
import type { Channel, ChannelUser } from '#waypoint/channel/channel.ts';
import type { ServerUser } from '#waypoint/exchange/ends.ts';
import { SESSION_STAGING_BYTES } from '#waypoint/http/http2-session.ts';
import type { ChannelWaiter, Dialer } from '#waypoint/upstream/dialer.ts';
import type { UpstreamEndpoint } from '#waypoint/upstream/endpoint.ts';
import { EndpointSessions } from '#waypoint/upstream/sessions.ts';

/** SETTINGS with MAX_CONCURRENT_STREAMS of 2 (RFC 9113 section 6.5). */
const SETTINGS = Buffer.from('000006040000000000000300000002', 'hex');
const UNUSED_FOR_MS = 60_000;

/** A connection of which the test is the server. */
class FakeChannel implements Channel {
  user!: ChannelUser;
  readonly queued = 0;
  readonly overflows = false;
  readonly isOpen = true;
  finished = false;

  /** The server says how many streams it takes. */
  greet(): void {
    this.user.onBytes(SETTINGS, 0, SETTINGS.length);
  }

  write(): void {
    // What is sent is the codec's affair.
  }

  consume(): void {
    // Nobody counts here.
  }

  finish(): void {
    this.finished = true;
  }

  abort(): void {
    this.finished = true;
  }
}

describe('EndpointSessions', () => {
  const nobody = { onServerGone: () => undefined } as unknown as ServerUser;
  let timers: TimerWheel;
  let turnEnds: Set<{ onTurnEnd(): void }>;
  /** Whoever waits for a connection. */
  let dials: ChannelWaiter[];
  let served: string[];
  let sessions: EndpointSessions;
  let isUnused: boolean;

  beforeEach(() => {
    timers = new TimerWheel(0);
    turnEnds = new Set();
    dials = [];
    served = [];
    isUnused = false;
    const loop = {
      nowMs: 0,
      timers,
      atTurnEnd: (task: { onTurnEnd(): void }) => turnEnds.add(task),
    } as unknown as Loop;
    const dialer = {
      dial: (_endpoint: UpstreamEndpoint, waiter: ChannelWaiter) => {
        dials.push(waiter);
        return { cancel: () => undefined };
      },
    } as unknown as Dialer;
    const host = { loop, staging: new SlabPool(SESSION_STAGING_BYTES, 1), waiting: undefined };
    const to = { endpoint: {} as UpstreamEndpoint, limits: { waitingPerEndpoint: 5 } };
    sessions = new EndpointSessions(host, dialer, to, () => (isUnused = true));
  });

  function ask(name: string): void {
    sessions.acquire(nobody, {
      onServer: (end) => {
        const asked = { method: 'GET', scheme: 'http', authority: 'shop', path: '/' };
        const request = { ...asked, hasBody: false, fields: () => [] } as never;
        served.push(end.request(request, {}) ? name : `${name} refused`);
      },
      onServerFailed: (reason) => served.push(`${name}: ${reason}`),
      onServerFull: () => served.push(`${name} has no place`),
    });
  }

  function connected(): FakeChannel {
    const channel = new FakeChannel();
    dials.shift()?.onChannel((user) => {
      channel.user = user;
      return channel;
    });
    return channel;
  }

  function endTurn(): void {
    const tasks = [...turnEnds];
    turnEnds.clear();
    for (const task of tasks) task.onTurnEnd();
  }

  it('asks no more of a server than it takes, and opens another session for the rest', () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) ask(name);
    expect(dials.length).to.equal(1);
    const first = connected();
    // It has not said how many it takes: one can't be too many.
    expect(served).to.deep.equal(['a']);
    first.greet();
    expect(served).to.deep.equal(['a', 'b']);
    connected().greet();
    expect(served).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(dials.length).to.equal(1);
  });

  it('lets only so many wait', () => {
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) ask(name);
    expect(served).to.deep.equal(['f has no place']);
    connected().greet();
    expect(served).to.deep.equal(['f has no place', 'a', 'b']);
    ask('g');
    expect(served).to.have.lengthOf(3);
  });

  it('remembers how many a server takes', () => {
    ask('a');
    connected().greet();
    ask('b');
    ask('c');
    ask('d');
    connected();
    expect(served).to.deep.equal(['a', 'b', 'c', 'd']);
  });

  it('fails those that wait when the server does not speak HTTP/2', () => {
    for (const name of ['a', 'b', 'c']) ask(name);
    const answer = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n');
    connected().user.onBytes(answer, 0, answer.length);
    expect(served[0]).to.equal('a');
    expect(served.slice(1).join()).to.match(/^b: HTTP\/2 error .*,c: HTTP\/2 error /);
    expect(dials).to.deep.equal([]);
    expect(isUnused).to.equal(true);
  });

  it('ends all of its sessions when it is drained, the full ones, too', () => {
    for (const name of ['a', 'b', 'c']) ask(name);
    const channels = [connected()];
    channels[0]?.greet();
    channels.push(connected());
    sessions.drain();
    for (const { user } of channels) user.onFinished();
    endTurn();
    expect(channels.map(({ finished }) => finished)).to.deep.equal([true, true]);
    expect(isUnused).to.equal(true);
  });

  it('ends a session that nobody uses', () => {
    const waiting = sessions.acquire(nobody, {
      onServer: () => served.push('too late'),
      onServerFailed: (reason) => served.push(reason),
      onServerFull: (reason) => served.push(reason),
    });
    waiting.cancel();
    const channel = connected();
    channel.greet();
    timers.advance(UNUSED_FOR_MS, () => undefined);
    endTurn();
    expect(channel.finished).to.equal(true);
    expect(isUnused).to.equal(true);
    expect(served).to.deep.equal([]);
  });
});
