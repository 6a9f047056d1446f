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
    const uses = new Map<string, EndpointUse>();
    const add = (uid: string, more: Partial<EndpointUse>): void => {
      const before = uses.get(uid) ?? { ...UNUSED, uid: uid as WorkloadUid };
      uses.set(uid, {
        uid: before.uid,
        requests: before.requests + (more.requests ?? 0),
        idleConnections: before.idleConnections + (more.idleConnections ?? 0),
        http2Connections: before.http2Connections + (more.http2Connections ?? 0),
      });
    };
    for (const [uid, requests] of this.#loads) add(uid, { requests });
    // A key begins with whose it is.
    for (const [key, connections] of this.#connections) {
      add(key.slice(0, key.indexOf(' ')), { idleConnections: connections.idleCount });
    }
    for (const [key, sessions] of this.#sessions) {
      add(key.slice(0, key.indexOf(' ')), { http2Connections: sessions.count });
    }
    return [...uses.values()];
  }

  /** Gives a place for one request, whose answer goes to `user`. */
  acquire(
    endpoint: UpstreamEndpoint,
    protocol: ServerProtocol,
    user: ServerUser,
    waiter: ServerWaiter,
  ): Acquiring {
    return protocol === 'http1'
      ? this.#acquireHttp1(endpoint, user, waiter)
      : this.#acquireHttp2(endpoint, user, waiter);
  }

  /** Closes the unused connections to an endpoint that is no more. */
  forget(uid: WorkloadUid): void {
    const prefix = `${uid} `;
    for (const all of [this.#connections, this.#sessions]) {
      for (const [key, each] of all) if (key.startsWith(prefix)) each.drain();
    }
  }

  /** Keeps no connection that is not used. */
  drain(): void {
    for (const connections of this.#connections.values()) connections.drain();
    for (const sessions of this.#sessions.values()) sessions.drain();
  }

  // --- HTTP/1: one exchange at a time

  #acquireHttp1(endpoint: UpstreamEndpoint, user: ServerUser, waiter: ServerWaiter): Acquiring {
    const { key } = endpoint;
    let connections = this.#connections.get(key);
    if (connections === undefined) {
      const to = { endpoint, limits: this.#limits };
      const made = new EndpointConnections(this.#host, this.#dialer, to, () => {
        if (this.#connections.get(key) === made) this.#connections.delete(key);
      });
      this.#connections.set(key, made);
      connections = made;
    }
    return connections.acquire(user, waiter);
  }

  // --- HTTP/2: many exchanges at once

  #acquireHttp2(endpoint: UpstreamEndpoint, user: ServerUser, waiter: ServerWaiter): Acquiring {
    const { key } = endpoint;
    let sessions = this.#sessions.get(key);
    if (sessions === undefined) {
      const to = { endpoint, limits: this.#limits };
      const made = new EndpointSessions(this.#host, this.#dialer, to, () => {
        if (this.#sessions.get(key) === made) this.#sessions.delete(key);
      });
      this.#sessions.set(key, made);
      sessions = made;
    }
    return sessions.acquire(user, waiter);
  }
}

const UNUSED = { requests: 0, idleConnections: 0, http2Connections: 0 } as const;
