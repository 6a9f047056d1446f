import type { ServerStream } from '#xds/server-stream.ts';

import type { Changes } from '../push/needs.ts';
import type { PushTarget } from '../push/queue.ts';

/** Who is at the other end of a stream: its own words, checked against its token. */
export interface ClientDescription {
  /** `ztunnel`, `waypoint` … */
  readonly type: string;
  /** `pod.namespace`. */
  readonly name: string;
  readonly clusterId: string;
  readonly version: string;
  /** The node that it serves; empty when it says none. */
  readonly node: string;
  /** The waypoint that it is, `namespace/name`, by its token; undefined when it says that it is none. */
  readonly waypoint: string | undefined;
  readonly peer: string;
}

/** A connected client. */
export class Client implements PushTarget {
  readonly id: string;
  readonly description: ClientDescription;
  readonly connectedAtMs: number;
  readonly stream: ServerStream;

  constructor(id: string, description: ClientDescription, nowMs: number, stream: ServerStream) {
    this.id = id;
    this.description = description;
    this.connectedAtMs = nowMs;
    this.stream = stream;
  }

  get node(): string {
    return this.description.node;
  }

  push(changes: Changes): void {
    this.stream.push(changes);
  }
}

/** Four names, none of which is longer than 253 characters. */
const NODE_ID_MAX = 1_024;

/** Reads `type~ip~pod.namespace~domain`; undefined when it has another form. */
export function parseNodeId(
  id: string,
): { readonly type: string; readonly name: string; readonly namespace: string } | undefined {
  if (id.length > NODE_ID_MAX) return undefined;
  const [type, ip, name, domain, ...more] = id.split('~');
  if (!type || !ip || !name || !domain || more.length > 0) return undefined;
  const dot = name.lastIndexOf('.');
  if (dot <= 0 || dot === name.length - 1) return undefined;
  return { type, name, namespace: name.slice(dot + 1) };
}
