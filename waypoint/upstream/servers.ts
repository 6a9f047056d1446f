import type { WorkloadUid } from '#dataplane/state/names.ts';

import type { ServerUser } from '../exchange/ends.ts';
import type { Http1Host } from '../http/http1-downstream.ts';
import type { SessionHost } from '../http/http2-session.ts';
import { EndpointConnections, type EndpointLimits } from './connections.ts';
import type { Dialer } from './dialer.ts';
import type { LoadOf, UpstreamEndpoint } from './endpoint.ts';
import { type Acquiring, EndpointSessions, type ServerWaiter } from './sessions.ts';

export type ServerProtocol = 'http1' | 'http2';

/** What a worker has with one endpoint now. */
export interface EndpointUse {
  readonly uid: WorkloadUid;
  /** Requests, and connections that are no HTTP. */
  readonly requests: number;
  /** Of HTTP/1, kept for the next request. */
  readonly idleConnections: number;
  readonly http2Connections: number;
}

/** The HTTP connections of a worker to the endpoints behind it, by endpoint and protocol. */
export class Servers {
  /** Requests that an endpoint has now. */
  readonly load: LoadOf = (uid) => this.#loads.get(uid) ?? 0;
  readonly #host: SessionHost & Http1Host;
  readonly #dialer: Dialer;
  readonly #limits: EndpointLimits;
  readonly #connections = new Map<string, EndpointConnections>();
  readonly #sessions = new Map<string, EndpointSessions>();
  readonly #loads = new Map<WorkloadUid, number>();

  constructor(host: SessionHost & Http1Host, dialer: Dialer, limits: EndpointLimits) {
    this.#host = host;
    this.#dialer = dialer;
    this.#limits = limits;
  }

  /** An exchange with the endpoint begins (+1), or has ended (-1). */
  addLoad(uid: WorkloadUid, change: 1 | -1): void {
    const load = this.load(uid) + change;
    if (load === 0) this.#loads.delete(uid);
    else this.#loads.set(uid, load);
  }

  /** The endpoints that anything is open to. */
  uses(): readonly EndpointUse[] {
    const uses = new Map<WorkloadUid, EndpointUse>();
    const add = (uid: WorkloadUid, more: Partial<EndpointUse>): void => {
      const before = uses.get(uid) ?? { ...UNUSED, uid };
      uses.set(uid, {
        uid,
        requests: before.requests + (more.requests ?? 0),
        idleConnections: before.idleConnections + (more.idleConnections ?? 0),
        http2Connections: before.http2Connections + (more.http2Connections ?? 0),
      });
    };
    for (const [uid, requests] of this.#loads) add(uid, { requests });
    for (const { uid, idleCount } of this.#connections.values()) {
      add(uid, { idleConnections: idleCount });
    }
    for (const { uid, count } of this.#sessions.values()) add(uid, { http2Connections: count });
    return [...uses.values()];
  }

  /** Gives a place for one request, whose answer goes to `user`. */
  acquire(
    endpoint: UpstreamEndpoint,
    protocol: ServerProtocol,
    user: ServerUser,
    waiter: ServerWaiter,
  ): Acquiring {
    const { key } = endpoint;
    const pool =
      protocol === 'http1'
        ? (this.#connections.get(key) ??
          this.#open(endpoint, this.#connections, EndpointConnections))
        : (this.#sessions.get(key) ?? this.#open(endpoint, this.#sessions, EndpointSessions));
    return pool.acquire(user, waiter);
  }

  /** Closes the unused connections to an endpoint that is no more. */
  forget(uid: WorkloadUid): void {
    for (const all of [this.#connections, this.#sessions]) {
      for (const each of all.values()) if (each.uid === uid) each.drain();
    }
  }

  /** Keeps no connection that is not used. */
  drain(): void {
    for (const connections of this.#connections.values()) connections.drain();
    for (const sessions of this.#sessions.values()) sessions.drain();
  }

  #open<Pool>(endpoint: UpstreamEndpoint, pools: Map<string, Pool>, Kind: PoolKind<Pool>): Pool {
    const { key } = endpoint;
    const to = { endpoint, limits: this.#limits };
    const made: Pool = new Kind(this.#host, this.#dialer, to, () => {
      if (pools.get(key) === made) pools.delete(key);
    });
    pools.set(key, made);
    return made;
  }
}

type PoolKind<Pool> = new (
  host: SessionHost & Http1Host,
  dialer: Dialer,
  to: { readonly endpoint: UpstreamEndpoint; readonly limits: EndpointLimits },
  onUnused: () => void,
) => Pool;

const UNUSED = { requests: 0, idleConnections: 0, http2Connections: 0 } as const;
