import type { WorkloadUid } from '#dataplane/state/names.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { ServerEnd, ServerUser } from '../exchange/ends.ts';
import type { Http1Host } from '../http/http1-downstream.ts';
import { Http1Upstream } from '../http/http1-upstream.ts';
import { Http2ServerEnd } from '../http/http2-server-end.ts';
import { Http2Session, type SessionHost, type SessionOwner } from '../http/http2-session.ts';
import type { ChannelWaiter, Dialer, Dialing } from './dialer.ts';
import type { LoadOf, UpstreamEndpoint } from './endpoint.ts';

export type ServerProtocol = 'http1' | 'http2';

/** Unused connections that are kept for one endpoint: what a burst leaves. */
const IDLE_PER_ENDPOINT_MAX = 128;
/** Shorter than the time after which common servers close an unused connection, which would cost a request. */
const IDLE_MS = 55_000;

/** Somebody who wants to send one request. Called once, perhaps before `acquire` returns. */
export interface ServerWaiter {
  onServer(end: ServerEnd): void;
  onServerFailed(reason: string): void;
}

/** A wish for a connection. */
export interface Acquiring {
  /** Not wanted any more: the waiter is not called. */
  cancel(): void;
}

/** The HTTP connections of a worker to the endpoints behind it, by endpoint and protocol. */
export class Servers {
  /** Requests that an endpoint has now. */
  readonly load: LoadOf = (uid) => this.#loads.get(uid) ?? 0;
  readonly #host: SessionHost & Http1Host;
  readonly #dialer: Dialer;
  readonly #idle = new Map<string, Http1Upstream[]>();
  readonly #sessions = new Map<string, SharedSession>();
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
    for (const [key, session] of this.#sessions) if (key.startsWith(prefix)) session.drain();
  }

  /** Keeps no connection that is not used. */
  drain(): void {
    for (const idle of this.#idle.values()) closeAll(idle);
    for (const session of this.#sessions.values()) session.drain();
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
    let shared = this.#sessions.get(key);
    if (shared === undefined || !shared.takesMore) {
      shared = new SharedSession(this.#host, () => {
        if (this.#sessions.get(key) === shared) this.#sessions.delete(key);
      });
      this.#sessions.set(key, shared);
      shared.dial(this.#dialer, endpoint);
    }
    return shared.acquire(user, waiter);
  }
}

/** Each takes itself out of the list as it closes. */
function closeAll(idle: readonly Http1Upstream[]): void {
  for (let last = idle.at(-1); last !== undefined; last = idle.at(-1)) last.close();
}

const NOTHING_TO_CANCEL: Acquiring = { cancel: () => undefined };

/** One HTTP/2 connection to an endpoint, and who waits for a place on it. */
class SharedSession implements SessionOwner, ChannelWaiter {
  readonly #host: SessionHost;
  readonly #onEnd: () => void;
  readonly #waiting = new Map<ServerWaiter, ServerUser>();
  #dialing: Dialing | undefined;
  #session: Http2Session | undefined;
  #ended = false;

  constructor(host: SessionHost, onEnd: () => void) {
    this.#host = host;
    this.#onEnd = onEnd;
  }

  /** Open or on its way, and not full. */
  get takesMore(): boolean {
    if (this.#ended) return false;
    return this.#session === undefined || this.#session.hasRoom;
  }

  dial(dialer: Dialer, endpoint: UpstreamEndpoint): void {
    this.#dialing = dialer.dial(endpoint, this);
  }

  acquire(user: ServerUser, waiter: ServerWaiter): Acquiring {
    if (this.#session?.hasRoom === true) {
      waiter.onServer(new Http2ServerEnd(this.#session, user));
      return NOTHING_TO_CANCEL;
    }
    this.#waiting.set(waiter, user);
    return { cancel: () => void this.#waiting.delete(waiter) };
  }

  drain(): void {
    if (this.#session !== undefined) this.#session.drain();
    else if (this.#waiting.size === 0) {
      this.#dialing?.cancel();
      this.onSessionEnd('not needed any more');
    }
  }

  // --- ChannelWaiter

  onChannel(open: (user: ChannelUser) => Channel): void {
    this.#session = new Http2Session('client', this.#host, open, this);
    this.#serve();
  }

  onChannelFailed(reason: string): void {
    this.onSessionEnd(reason);
  }

  // --- SessionOwner

  onSessionRequest(): void {
    // The codec refuses requests in the client role.
  }

  onSessionRoom(): void {
    this.#serve();
  }

  onSessionEnd(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    const waiters = [...this.#waiting.keys()];
    this.#waiting.clear();
    for (const waiter of waiters) waiter.onServerFailed(reason);
  }

  #serve(): void {
    for (const [waiter, user] of this.#waiting) {
      const session = this.#session;
      if (session === undefined || !session.hasRoom) return;
      this.#waiting.delete(waiter);
      waiter.onServer(new Http2ServerEnd(session, user));
    }
  }
}
