import { deserialize, serialize } from 'node:v8';

import type { LocalPod } from '#dataplane/state/view.ts';
import type { TrafficLabelValues } from '#dataplane/telemetry/connection-labels.ts';

import type { AccountingState } from '../proxy/accounting.ts';
import {
  countConnections,
  descriptorsOf,
  type Moved,
  type PodState,
  renameDescriptors,
} from './pod-state.ts';

/**
 * A pod's state on its way from a worker of one process to a worker of another: made once and read once, and
 * only carried in between, because everything stands still meanwhile.
 */
export interface PackedPod {
  readonly uid: string;
  readonly pod: LocalPod;
  readonly connections: number;
  /** Of the process that has it now, each once; the pod's network namespace is the first. */
  readonly descriptors: readonly number[];
  /** The state, its descriptors as places in `descriptors`. Keys are in it. Has its buffer for itself. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export function packPod(state: PodState): PackedPod {
  const descriptors = descriptorsOf(state);
  const places = new Map(descriptors.map((fd, place) => [fd, place]));
  const placed = renameDescriptors(shareLabels(state), (fd) => places.get(fd) as number);
  const serialized = serialize(placed);
  const bytes = new Uint8Array(serialized);
  serialized.fill(0);
  return {
    uid: state.uid,
    pod: state.pod,
    connections: countConnections(state),
    descriptors,
    bytes,
  };
}

/** Byte arrays of the result are views of `bytes`. */
export function unpackPod({ bytes, descriptors }: PackedPod): PodState {
  return renameDescriptors(deserialize(bytes) as PodState, (place) => {
    const fd = descriptors[place];
    if (fd === undefined) throw new Error('the predecessor named a descriptor that did not come');
    return fd;
  });
}

/**
 * The pod with the descriptors that `take` gives for as many, and a copy of its bytes that can be given away.
 * For whoever has received it from another process.
 */
export function withDescriptors(
  packed: PackedPod,
  take: (count: number) => readonly number[],
): PackedPod {
  return {
    ...packed,
    descriptors: take(packed.descriptors.length),
    bytes: new Uint8Array(packed.bytes),
  };
}

export function netnsFdOf({ descriptors }: PackedPod): number {
  return descriptors[0] as number;
}

/** To be transferred with a message instead of copied. */
export function packedBuffers(pods: readonly PackedPod[]): readonly ArrayBuffer[] {
  return pods.map(({ bytes }) => bytes.buffer);
}

/** Most connections have the labels of others: what is one object is written once. */
function shareLabels(state: PodState): PodState {
  const known = new Map<string, TrafficLabelValues>();
  const share = <State extends object>(moved: Moved<State>): Moved<State> => {
    const { accounting } = moved.state as { readonly accounting?: AccountingState | undefined };
    if (accounting === undefined) return moved;
    const key = accounting.labels.join('\u0000');
    const labels = known.get(key) ?? accounting.labels;
    known.set(key, labels);
    return { ...moved, state: { ...moved.state, accounting: { ...accounting, labels } } };
  };
  return {
    ...state,
    tunnels: state.tunnels.map((tunnel) => ({
      ...tunnel,
      inbound: tunnel.inbound.map(share),
      outbound: tunnel.outbound.map(share),
    })),
    outbound: state.outbound.map(share),
    inbound: state.inbound.map(share),
    plaintext: state.plaintext.map(share),
  };
}
