import type { ByteBudget } from '#reactor/byte-budget.ts';
import type { Loop } from '#reactor/loop.ts';
import { PendingBytes } from '#reactor/pending.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { ConnectionFacts } from '../exchange/decision.ts';
import type { ChannelWaiter, Dialer, Dialing } from '../upstream/dialer.ts';
import type { EndpointChooser, UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { Servers } from '../upstream/servers.ts';

/** What is told of a connection whose bytes are not looked into, when it is over. */
export interface TcpRecord {
  readonly facts: ConnectionFacts;
  readonly startMs: number;
  endMs: number;
  endpoint: UpstreamEndpoint | undefined;
  /** From the client, and to it. */
  receivedBytes: number;
  sentBytes: number;
  flag: string;
  details: string;
}

export interface TcpHost {
  readonly loop: Loop;
  readonly chooser: EndpointChooser;
  readonly dialer: Dialer;
  readonly servers: Servers;
  readonly random: () => number;
  readonly limits: { readonly connectionsPerEndpoint: number };
  /** What is kept for endpoints counts in it. */
  readonly kept: ByteBudget;
  /** A reason: the policies do not let the connection in. */
  judge(facts: ConnectionFacts): string | undefined;
  tcpOpened(record: TcpRecord): void;
  tcpClosed(record: TcpRecord): void;
}

/** Carries bytes both ways between a client and an endpoint, each to its own end, without looking into them. */
export class TcpForward implements ChannelUser, ChannelWaiter {
  readonly #host: TcpHost;
  readonly #client: Channel;
  readonly #onEnd: () => void;
  readonly #record: TcpRecord;
  readonly #kept: PendingBytes;
  #server: Channel | undefined;
  readonly #dialing: Dialing | undefined;
  #clientFinished = false;
  #serverFinished = false;
  #clientOwed = 0;
  #serverOwed = 0;
  #ended = false;

  constructor(
    host: TcpHost,
    facts: ConnectionFacts,
    open: (user: ChannelUser) => Channel,
    onEnd: () => void,
  ) {
    this.#host = host;
    this.#onEnd = onEnd;
    this.#kept = new PendingBytes(host.kept);
    this.#client = open(this);
    this.#record = {
      facts,
      startMs: host.loop.nowMs,
      endMs: 0,
      endpoint: undefined,
      receivedBytes: 0,
      sentBytes: 0,
      flag: '-',
      details: '',
    };
    host.tcpOpened(this.#record);
    const refusal = host.judge(facts);
    if (refusal !== undefined) {
      this.#fail('UAEX', refusal);
      return;
    }
    const { chooser, servers, random } = host;
    const chosen = chooser.choose(facts.target, new Set(), servers.load, random);
    if ('reason' in chosen) {
      this.#fail('UH', chosen.reason);
      return;
    }
    const most = host.limits.connectionsPerEndpoint;
    if (servers.load(chosen.workload.uid) >= most) {
      this.#fail('UO', `the endpoint has ${most} connections and requests, as many as it may`);
      return;
    }
    this.#record.endpoint = chosen;
    servers.addLoad(chosen.workload.uid, 1);
    this.#dialing = host.dialer.dial(chosen, this);
  }

  /** Nothing tells where its end is: it goes on until the deadline of the drain. */
  drain(): void {}

  close(reason: string): void {
    this.#fail('-', reason);
  }

  /** Cuts the connection when the policies of now do not let it in. */
  judgeAgain(): void {
    if (this.#ended) return;
    const refusal = this.#host.judge(this.#record.facts);
    if (refusal !== undefined) this.#fail('UAEX', refusal);
  }

  look(): void {
    // Bytes that are not looked into may rest for as long as they like, as between two node tunnels.
  }

  // --- ChannelWaiter

  onChannel(open: (user: ChannelUser) => Channel): void {
    if (this.#ended) {
      open(IGNORE).abort();
      return;
    }
    const server = open({
      onBytes: (bytes, start, end) => this.#fromServer(bytes, start, end),
      onFinished: () => {
        this.#serverFinished = true;
        this.#client.finish();
        this.#endIfDone();
      },
      onDrained: () => this.#giveClientCredit(),
      onBroken: (reason) => this.#fail('UC', reason),
    });
    this.#server = server;
    const { length } = this.#kept;
    if (length > 0) {
      const bytes = Buffer.allocUnsafeSlow(length);
      this.#kept.peekTo(bytes, 0, length);
      this.#kept.clear();
      server.write(bytes, 0, length);
    }
    this.#giveClientCredit();
    if (this.#clientFinished) server.finish();
  }

  onChannelFailed(reason: string): void {
    this.#fail('UF', reason);
  }

  // --- ChannelUser: the client

  onBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#ended) return;
    this.#record.receivedBytes += end - start;
    this.#clientOwed += end - start;
    if (this.#server === undefined) {
      // The client's window bounds it: it gets no credit meanwhile.
      this.#kept.append(bytes, start, end);
      if (this.#kept.overflows) this.#fail('UO', 'the memory for what waits is full');
      return;
    }
    this.#server.write(bytes, start, end);
    this.#giveClientCredit();
    if (this.#server.queued > 0 && this.#server.overflows) {
      this.#fail('UO', 'the endpoint reads too slowly');
    }
  }

  onFinished(): void {
    this.#clientFinished = true;
    this.#server?.finish();
    this.#endIfDone();
  }

  onDrained(): void {
    if (this.#serverOwed === 0) return;
    const owed = this.#serverOwed;
    this.#serverOwed = 0;
    this.#server?.consume(owed);
  }

  onBroken(reason: string): void {
    this.#fail('DC', reason);
  }

  // ---

  #fromServer(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    this.#record.sentBytes += length;
    this.#client.write(bytes, start, end);
    if (this.#client.queued > 0) {
      this.#serverOwed += length;
      if (this.#client.overflows) this.#fail('UO', 'the client reads too slowly');
    } else this.#server?.consume(length);
  }

  #giveClientCredit(): void {
    if (this.#clientOwed === 0 || (this.#server?.queued ?? 1) > 0) return;
    const owed = this.#clientOwed;
    this.#clientOwed = 0;
    this.#client.consume(owed);
  }

  #endIfDone(): void {
    if (this.#clientFinished && this.#serverFinished) this.#end();
  }

  #fail(flag: string, details: string): void {
    if (this.#ended) return;
    this.#record.flag = flag;
    this.#record.details = details;
    this.#client.abort();
    this.#server?.abort();
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    // Streams are kept for what nobody has taken, and hold up the others of their tunnel.
    this.onDrained();
    if (this.#clientOwed > 0) this.#client.consume(this.#clientOwed);
    this.#clientOwed = 0;
    this.#dialing?.cancel();
    this.#kept.clear();
    const uid = this.#record.endpoint?.workload.uid;
    if (uid !== undefined) this.#host.servers.addLoad(uid, -1);
    this.#record.endMs = this.#host.loop.nowMs;
    this.#host.tcpClosed(this.#record);
    this.#onEnd();
  }
}

const IGNORE: ChannelUser = {
  onBytes: () => undefined,
  onFinished: () => undefined,
  onDrained: () => undefined,
  onBroken: () => undefined,
};
