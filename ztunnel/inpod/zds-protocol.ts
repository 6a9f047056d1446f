import { create, fromBinary, toBinary } from '@bufbuild/protobuf';

import {
  Version,
  type WorkloadRequest,
  WorkloadRequestSchema,
  WorkloadResponseSchema,
  ZdsHelloSchema,
} from '#api/gen/zds_pb.ts';
import type { Brand } from '#common/brand.ts';

/** The Kubernetes uid of a pod. */
export type PodUid = Brand<string, 'PodUid'>;

/** What the CNI agent knows of a pod, before the mesh's own state has arrived. */
export interface PodInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What the CNI agent asks for, one at a time; each is answered by exactly one ack. */
export type ZdsRequest =
  | { readonly kind: 'add'; readonly uid: PodUid; readonly info: PodInfo }
  | { readonly kind: 'keep'; readonly uid: PodUid }
  | { readonly kind: 'del'; readonly uid: PodUid }
  | { readonly kind: 'snapshot-sent' };

/** Longest packet in either direction: both sides read into buffers of this size. */
export const PACKET_BYTES_MAX = 1_024;
/** Longest error text in an ack: room for the framing, and nobody reads more in an event of a pod. */
const ERROR_BYTES_MAX = 900;

/** The first packet of a connection. */
export function encodeHello(): Uint8Array {
  return toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version: Version.V1 }));
}

/** The answer to a request; `error` is empty when all is well, and is cut to what the agent can read. */
export function encodeAck(error: string): Uint8Array {
  const payload = { case: 'ack', value: { error: cut(error, ERROR_BYTES_MAX) } } as const;
  return toBinary(WorkloadResponseSchema, create(WorkloadResponseSchema, { payload }));
}

/**
 * Reads a request that came with `descriptors` file descriptors. The text says what is wrong with a packet
 * that breaks the protocol.
 */
export function decodeRequest(bytes: Uint8Array, descriptors: number): ZdsRequest | string {
  const message = decode(bytes);
  if (message === undefined) return 'Cannot read the packet: want a WorkloadRequest';
  const request = toRequest(message);
  if (typeof request === 'string') return request;
  const wanted = request.kind === 'add' ? 1 : 0;
  if (descriptors === wanted) return request;
  return `A request of kind "${request.kind}" came with ${descriptors} file descriptors: want ${wanted}`;
}

function decode(bytes: Uint8Array): WorkloadRequest | undefined {
  try {
    return fromBinary(WorkloadRequestSchema, bytes);
  } catch {
    // Any way in which bytes can be no message; the caller answers all of them alike.
    return undefined;
  }
}

function toRequest({ payload }: WorkloadRequest): ZdsRequest | string {
  if (payload.case === undefined) {
    return 'Cannot read the request: want one of add, del, snapshot_sent, keep';
  }
  if (payload.case === 'snapshotSent') return { kind: 'snapshot-sent' };
  const uid = payload.value.uid as PodUid;
  if (uid === '') return `A request of kind "${payload.case}" has no uid`;
  if (payload.case !== 'add') return { kind: payload.case, uid };
  const info = payload.value.workloadInfo;
  if (info === undefined) return `The request to add pod "${uid}" has no workload_info`;
  const { name, namespace, serviceAccount } = info;
  return { kind: 'add', uid, info: { name, namespace, serviceAccount } };
}

/** The start of `text` in at most `bytesMax` bytes of UTF-8, without half a character. */
function cut(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return bytes.toString();
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
