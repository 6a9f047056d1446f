import { closeSync } from 'node:fs';

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';

import { WorkloadRequestSchema, WorkloadResponseSchema, ZdsHelloSchema } from '#api/gen/zds_pb.ts';
import { errnoName } from '#linux/libc.ts';
import { openNetns } from '#linux/netns.ts';
import { receivePacket, sendPacket } from '#linux/seqpacket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';

/** One pod as the node tunnel learns of it. */
export interface Announcement {
  readonly netns: string;
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What happens on a connection, for whoever prints or tests it. */
export type ZdsReport =
  | { readonly kind: 'hello'; readonly version: number }
  | { readonly kind: 'ack'; readonly of: string; readonly error: string }
  | { readonly kind: 'closed'; readonly why: string };

interface Request {
  /** `uid`, `del uid` or `snapshot`: what the answer is about. */
  readonly about: string;
  readonly message: Uint8Array;
  readonly netns?: string;
}

/** Longest message in either direction. */
const MESSAGE_BYTES_MAX = 1024;

/**
 * The agent's side of one connection. Strictly one request at a time, in order, each answered by one
 * packet:
 *
 *     tunnel ─ hello ─▶   ◀─ add + descriptor ─   ─ ack ─▶  …  ◀─ snapshot sent ─   ─ ack ─▶   ◀─ add | del ─ …
 */
export class ZdsConnection implements EventHandler {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #report: (report: ZdsReport) => void;
  readonly #waiting: Request[] = [];
  #inFlight: Request | undefined;
  #greeted = false;

  constructor(loop: Loop, fd: number, report: (report: ZdsReport) => void) {
    this.fd = fd;
    this.#loop = loop;
    this.#report = report;
    loop.add(this, READABLE);
  }

  /** Announces all pods, then the end of the snapshot. */
  snapshot(pods: Iterable<Announcement>): void {
    for (const pod of pods) this.add(pod);
    this.#ask({
      about: 'snapshot',
      message: encode({ payload: { case: 'snapshotSent', value: {} } }),
    });
  }

  add(pod: Announcement): void {
    const { uid, netns, ...workloadInfo } = pod;
    this.#ask({
      about: uid,
      message: encode({
        payload: { case: 'add', value: { uid, workloadInfo } },
      }),
      netns,
    });
  }

  delete(uid: string): void {
    this.#ask({
      about: `del ${uid}`,
      message: encode({ payload: { case: 'del', value: { uid } } }),
    });
  }

  /** Any bytes instead of a request. */
  raw(message: Uint8Array): void {
    this.#ask({ about: 'raw', message });
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
        this.#close('the tunnel has closed the connection');
        break;
      case 'truncated':
        this.#close(`the tunnel sent more than ${MESSAGE_BYTES_MAX} bytes, or descriptors`);
        break;
      case 'failed':
        this.#close(errnoName(received.errno));
        break;
    }
  }

  onFault(error: unknown): void {
    this.#close(String(error));
  }

  #onPacket(bytes: Uint8Array): void {
    if (!this.#greeted) {
      this.#greeted = true;
      this.#report({ kind: 'hello', version: fromBinary(ZdsHelloSchema, bytes).version });
      this.#next();
      return;
    }
    const request = this.#inFlight;
    if (request === undefined) {
      this.#close('the tunnel spoke without being asked');
      return;
    }
    this.#inFlight = undefined;
    const { payload } = fromBinary(WorkloadResponseSchema, bytes);
    const error = payload.case === 'ack' ? payload.value.error : 'no ack';
    this.#report({ kind: 'ack', of: request.about, error });
    this.#next();
  }

  #ask(request: Request): void {
    this.#waiting.push(request);
    this.#next();
  }

  #next(): void {
    if (!this.#greeted || this.#inFlight !== undefined) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#inFlight = request;
    const fds = request.netns === undefined ? [] : [openNetns(request.netns)];
    const sent = sendPacket(this.fd, request.message, fds);
    for (const fd of fds) closeSync(fd);
    if (sent < 0) this.#close(`cannot send: ${errnoName(sent)}`);
  }

  #close(why: string): void {
    this.#loop.remove(this);
    closeSocket(this.fd);
    this.#report({ kind: 'closed', why });
  }
}

function encode(request: MessageInitShape<typeof WorkloadRequestSchema>): Uint8Array {
  return toBinary(WorkloadRequestSchema, create(WorkloadRequestSchema, request));
}
