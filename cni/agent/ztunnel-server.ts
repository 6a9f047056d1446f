import { EAGAIN, errnoName } from '#linux/libc.ts';
import { acceptSeqpacket, listenSeqpacket } from '#linux/seqpacket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

import {
  type PodInfo,
  type TunnelAnswer,
  ZtunnelConnection,
  type ZtunnelConnectionOwner,
} from './ztunnel-connection.ts';

/** A pod of a snapshot; without a descriptor its namespace is not known (any more). */
export interface SnapshotPod {
  readonly info: PodInfo;
  readonly netnsFd: number | undefined;
}

export interface ZtunnelServerOptions {
  readonly path: string;
  /** Every enrolled pod, asked for each time that a node tunnel connects. */
  readonly snapshot: () => readonly SnapshotPod[];
  readonly onConnected: (connections: number) => void;
  readonly onDisconnected: (connections: number, why: string) => void;
  /** A pod of a snapshot that the node tunnel cannot serve yet, or a connection that could not be taken. */
  readonly onRefused: (what: string, reason: string) => void;
}

/** Node tunnels at a time: the old one, the new one, and one that is stuck. More are closed. */
const CONNECTIONS_MAX = 4;
/** After an accept that failed: no descriptors are left, most likely. */
const ACCEPT_RETRY_MS = 1_000;

/** Serves ZDS to the node tunnels of this node: pods' namespaces to the newest, withdrawals to all. */
export class ZtunnelServer implements EventHandler, Timer, ZtunnelConnectionOwner {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #options: ZtunnelServerOptions;
  /** Oldest first; the first ones may not have said hello yet. */
  readonly #connections: ZtunnelConnection[] = [];

  /** Throws when the path cannot be listened on. Serves from {@link start} on. */
  constructor(loop: Loop, options: ZtunnelServerOptions) {
    const listening = listenSeqpacket(options.path, { mode: 0o600 });
    if ('errno' in listening) {
      const why = `${errnoName(listening.errno)} (${listening.call})`;
      throw new Error(`Cannot listen for the node tunnel on ${options.path}: ${why}`);
    }
    this.fd = listening.fd;
    this.#loop = loop;
    this.#options = options;
  }

  /** Accepts node tunnels. Before, they wait in the socket's backlog. */
  start(): void {
    this.#loop.add(this, READABLE);
  }

  stop(): void {
    this.#loop.timers.cancel(this);
    this.#loop.remove(this);
    closeSocket(this.fd);
    for (const connection of this.#connections.toReversed()) connection.close('the agent ends');
  }

  /** Node tunnels that have introduced themselves. */
  get connected(): number {
    return this.#connections.filter(({ isOpen }) => isOpen).length;
  }

  /** Has the newest node tunnel serve a pod; the one before when the newest goes away meanwhile. */
  async add(pod: PodInfo, netnsFd: number): Promise<TunnelAnswer> {
    for (;;) {
      const newest = this.#connections.findLast(({ isOpen }) => isOpen);
      if (newest === undefined) return { kind: 'lost', reason: 'no ztunnel is connected' };
      const answer = await newest.add(pod, netnsFd);
      if (answer.kind !== 'lost' || newest.isOpen) return answer;
    }
  }

  /** Has all node tunnels let go of a pod, and waits for them. */
  async delete(uid: string): Promise<void> {
    const open = this.#connections.filter(({ isOpen }) => isOpen);
    await Promise.all(open.map((connection) => connection.delete(uid)));
  }

  onEvents(): void {
    const fd = acceptSeqpacket(this.fd);
    if (fd === -EAGAIN) return;
    if (fd < 0) {
      // What waits goes on waiting, and would be reported again at once.
      this.#options.onRefused('a connection', `accept: ${errnoName(fd)}`);
      this.#loop.setInterest(this, 0);
      this.#loop.timers.schedule(this, this.#loop.nowMs + ACCEPT_RETRY_MS);
      return;
    }
    if (this.#connections.length >= CONNECTIONS_MAX) {
      closeSocket(fd);
      return;
    }
    this.#connections.push(new ZtunnelConnection(this.#loop, fd, this));
  }

  onTimer(): void {
    this.#loop.setInterest(this, READABLE);
  }

  onHello(connection: ZtunnelConnection): void {
    this.#options.onConnected(this.connected);
    for (const { info, netnsFd } of this.#options.snapshot()) {
      const asked =
        netnsFd === undefined ? connection.keep(info.uid) : connection.add(info, netnsFd);
      void this.#report(info.uid, asked);
    }
    void this.#report('snapshot', connection.snapshotSent());
    this.#loop.returnToNode();
  }

  onClosed(connection: ZtunnelConnection, why: string): void {
    this.#connections.splice(this.#connections.indexOf(connection), 1);
    this.#options.onDisconnected(this.connected, why);
  }

  async #report(uid: string, asked: Promise<TunnelAnswer>): Promise<void> {
    const answer = await asked;
    if (answer.kind === 'refused') this.#options.onRefused(uid, answer.reason);
  }
}
