import type { WorkloadUid } from '#dataplane/state/names.ts';

import type { ServerUser } from '../exchange/ends.ts';
import type { Http1Host } from '../http/http1-downstream.ts';
import { Http1Upstream } from '../http/http1-upstream.ts';
import type { SessionHost } from '../http/http2-session.ts';
import type { Dialer } from './dialer.ts';
import type { LoadOf, UpstreamEndpoint } from './endpoint.ts';
import {
  type Acquiring,
  EndpointSessions,
  NOTHING_TO_CANCEL,
  type ServerWaiter,
} from './sessions.ts';

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

/** Unused connections that are kept for one endpoint: what a burst leaves. */
const IDLE_PER_ENDPOINT_MAX = 128;
/** Shorter than the time after which common servers close an unused connection, which would cost a request. */
const IDLE_MS = 55_000;

/** The HTTP connections of a worker to the endpoints behind it, by endpoint and protocol. */
export class Servers {
  /** Requests that an endpoint has now. */
  readonly load: LoadOf = (uid) => this.#loads.get(uid) ?? 0;
  readonly #host: SessionHost & Http1Host;
  readonly #dialer: Dialer;
  readonly #idle = new Map<string, Http1Upstream[]>();
  readonly #sessions = new Map<string, EndpointSessions>();
  readonly #loads = new Map<WorkloadUid, number>();

  constructor(host: SessionHost & Http1Host, dialer: Dialer) {
    this.#host = host;
    this.#dialer = dialer;
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
    for (const [key, idle] of this.#idle) {
      add(key.slice(0, key.indexOf(' ')), { idleConnections: idle.length });
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
    for (const [key, idle] of this.#idle) {
      if (!key.startsWith(prefix)) continue;
      closeAll(idle);
    }
    for (const [key, sessions] of this.#sessions) if (key.startsWith(prefix)) sessions.drain();
  }

  /** Keeps no connection that is not used. */
  drain(): void {
    for (const idle of this.#idle.values()) closeAll(idle);
    for (const sessions of this.#sessions.values()) sessions.drain();
  }

  // --- HTTP/1: one exchange at a time

  #acquireHttp1(endpoint: UpstreamEndpoint, user: ServerUser, waiter: ServerWaiter): Acquiring {
    const { key } = endpoint;
    const server = this.#idle.get(key)?.pop();
    if (server !== undefined) {
      waiter.onServer(server.begin(user));
      return NOTHING_TO_CANCEL;
    }
    return this.#dialer.dial(endpoint, {
      onChannel: (open) => {
        const made = new Http1Upstream(this.#host, open, {
          onIdle: () => this.#keep(key, made),
          onClosed: () => this.#drop(key, made),
        });
        waiter.onServer(made.begin(user));
      },
      onChannelFailed: (reason) => waiter.onServerFailed(reason),
    });
  }

  #keep(key: string, server: Http1Upstream): void {
    let idle = this.#idle.get(key);
    if (idle === undefined) {
      idle = [];
      this.#idle.set(key, idle);
    }
    if (idle.length >= IDLE_PER_ENDPOINT_MAX) server.close();
    else {
      idle.push(server);
      server.closeAt(this.#host.loop.nowMs + IDLE_MS);
    }
  }

  #drop(key: string, server: Http1Upstream): void {
    const idle = this.#idle.get(key);
    const at = idle?.indexOf(server) ?? -1;
    if (idle === undefined || at < 0) return;
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(key);
  }

  // --- HTTP/2: many exchanges at once

  #acquireHttp2(endpoint: UpstreamEndpoint, user: ServerUser, waiter: ServerWaiter): Acquiring {
    const { key } = endpoint;
    let sessions = this.#sessions.get(key);
    if (sessions === undefined) {
      const made = new EndpointSessions(this.#host, this.#dialer, endpoint, () => {
        if (this.#sessions.get(key) === made) this.#sessions.delete(key);
      });
      this.#sessions.set(key, made);
      sessions = made;
    }
    return sessions.acquire(user, waiter);
  }
}

const UNUSED = { requests: 0, idleConnections: 0, http2Connections: 0 } as const;

/** Each takes itself out of the list as it closes. */
function closeAll(idle: readonly Http1Upstream[]): void {
  for (let last = idle.at(-1); last !== undefined; last = idle.at(-1)) last.close();
}
