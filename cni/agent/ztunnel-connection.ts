import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';

import {
  Version,
  WorkloadRequestSchema,
  WorkloadResponseSchema,
  ZdsHelloSchema,
} from '#api/gen/zds_pb.ts';
import { errnoName } from '#linux/libc.ts';
import { duplicateNetns } from '#linux/netns.ts';
import { receivePacket, sendPacket } from '#linux/seqpacket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

/** A pod as the node tunnel learns of it. */
export interface PodInfo {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What became of a request. */
export type TunnelAnswer =
  | { readonly kind: 'done' }
  /** The node tunnel says why not, and goes on trying by itself. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The connection ended before the answer. */
  | { readonly kind: 'lost'; readonly reason: string };

export interface ZtunnelConnectionOwner {
  /** The tunnel has introduced itself: send it the snapshot. */
  onHello(connection: ZtunnelConnection): void;
  onClosed(connection: ZtunnelConnection, why: string): void;
}

interface Request {
  readonly message: Uint8Array;
  /** Our own copy, so that the pod may go while the request waits. */
  readonly netnsFd: number | undefined;
  readonly answer: (answer: TunnelAnswer) => void;
}

/** Longest message in either direction. */
const MESSAGE_BYTES_MAX = 1_024;
/** How long the hello and each answer may take; the plugin waits 5 s for us, and is told before it gives up. */
export const ANSWER_DEADLINE_MS = 4_500;
/** Requests that may wait on one connection: all pods of a node, and some. */
const WAITING_MAX = 4_096;

/**
 * The agent's side of one ZDS connection: one request at a time, each answered by one packet.
 *
 *     tunnel ─ hello ─▶   ◀─ add + descriptor ─   ─ ack ─▶  …  ◀─ snapshot sent ─   ─ ack ─▶   ◀─ add | del ─ …
 *
 * An answer that does not come in time ends the connection: a late one would be taken for the next. The tunnel
 * connects again and gets everything as a snapshot.
 */
export class ZtunnelConnection implements EventHandler, Timer {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #owner: ZtunnelConnectionOwner;
  readonly #waiting: Request[] = [];
  #inFlight: Request | undefined;
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(loop: Loop, fd: number, owner: ZtunnelConnectionOwner) {
    this.fd = fd;
    this.#loop = loop;
    this.#owner = owner;
    loop.add(this, READABLE);
    loop.timers.schedule(this, loop.nowMs + ANSWER_DEADLINE_MS);
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Announces a pod. `netnsFd` stays the caller's and may be closed at once. */
  add(pod: PodInfo, netnsFd: number): Promise<TunnelAnswer> {
    const { uid, ...workloadInfo } = pod;
    return this.#ask({ payload: { case: 'add', value: { uid, workloadInfo } } }, netnsFd);
  }

  delete(uid: string): Promise<TunnelAnswer> {
    return this.#ask({ payload: { case: 'del', value: { uid } } });
  }

  /** Part of a snapshot: a pod that is there, whose namespace cannot be sent. */
  keep(uid: string): Promise<TunnelAnswer> {
    return this.#ask({ payload: { case: 'keep', value: { uid } } });
  }

  snapshotSent(): Promise<TunnelAnswer> {
    return this.#ask({ payload: { case: 'snapshotSent', value: {} } });
  }

  close(why: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#loop.timers.cancel(this);
    this.#loop.remove(this);
    closeSocket(this.fd);
    const inFlight = this.#inFlight === undefined ? [] : [this.#inFlight];
    this.#inFlight = undefined;
    for (const { netnsFd } of this.#waiting) if (netnsFd !== undefined) closeSocket(netnsFd);
    for (const { answer } of [...inFlight, ...this.#waiting.splice(0)]) {
      answer({ kind: 'lost', reason: why });
    }
    this.#owner.onClosed(this, why);
    this.#loop.returnToNode();
  }

  onEvents(): void {
    const received = receivePacket(this.fd, MESSAGE_BYTES_MAX, 0);
    switch (received.kind) {
      case 'packet':
        this.#onPacket(received.bytes);
        break;
      case 'again':
        break;
      case 'end':
        this.close('the node tunnel has closed the connection');
        break;
      case 'truncated':
        this.close(`the node tunnel sent more than ${MESSAGE_BYTES_MAX} bytes, or descriptors`);
        break;
      case 'failed':
        this.close(`the connection to the node tunnel failed: ${errnoName(received.errno)}`);
        break;
    }
  }

  onTimer(): void {
    const what = this.#state === 'new' ? 'introduced itself' : 'answered';
    this.close(`the node tunnel has not ${what} within ${ANSWER_DEADLINE_MS} ms`);
  }

  onFault(error: unknown): void {
    this.close(`the node tunnel cannot be understood: ${String(error)}`);
  }

  #onPacket(bytes: Uint8Array): void {
    if (this.#state === 'new') {
      const { version } = fromBinary(ZdsHelloSchema, bytes);
      if (version !== Version.V1) {
        this.close(`the node tunnel speaks version ${version} of ZDS; this agent speaks 1`);
        return;
      }
      this.#state = 'open';
      this.#loop.timers.cancel(this);
      this.#owner.onHello(this);
      this.#next();
      return;
    }
    const request = this.#inFlight;
    if (request === undefined) {
      this.close('the node tunnel spoke without being asked');
      return;
    }
    const { payload } = fromBinary(WorkloadResponseSchema, bytes);
    if (payload.case !== 'ack') {
      this.close('the node tunnel answered without an ack');
      return;
    }
    this.#inFlight = undefined;
    this.#loop.timers.cancel(this);
    const reason = payload.value.error;
    request.answer(reason === '' ? { kind: 'done' } : { kind: 'refused', reason });
    this.#next();
    this.#loop.returnToNode();
  }

  #ask(
    request: MessageInitShape<typeof WorkloadRequestSchema>,
    netnsFd?: number,
  ): Promise<TunnelAnswer> {
    if (this.#state === 'closed') {
      return Promise.resolve({ kind: 'lost', reason: 'the connection has ended' });
    }
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.resolve({ kind: 'refused', reason: `${WAITING_MAX} requests wait already` });
    }
    const copy = netnsFd === undefined ? undefined : duplicateNetns(netnsFd);
    if (copy !== undefined && copy < 0) {
      const reason = `cannot keep the pod's network namespace: ${errnoName(copy)}`;
      return Promise.resolve({ kind: 'refused', reason });
    }
    const message = toBinary(WorkloadRequestSchema, create(WorkloadRequestSchema, request));
    return new Promise((answer) => {
      this.#waiting.push({ message, netnsFd: copy, answer });
      this.#next();
    });
  }

  #next(): void {
    if (this.#state !== 'open' || this.#inFlight !== undefined) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#inFlight = request;
    const { message, netnsFd } = request;
    const sent = sendPacket(this.fd, message, netnsFd === undefined ? [] : [netnsFd]);
    if (netnsFd !== undefined) closeSocket(netnsFd);
    if (sent < 0) {
      this.close(`cannot send to the node tunnel: ${errnoName(sent)}`);
      return;
    }
    this.#loop.timers.schedule(this, performance.now() + ANSWER_DEADLINE_MS);
  }
}
