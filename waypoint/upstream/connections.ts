import type { WorkloadUid } from '#dataplane/state/names.ts';
import type { Timer } from '#reactor/timers.ts';

import type { ServerUser } from '../exchange/ends.ts';
import type { Http1Host } from '../http/http1-downstream.ts';
import { Http1Upstream } from '../http/http1-upstream.ts';
import type { Dialer } from './dialer.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { type Acquiring, NOTHING_TO_CANCEL, type ServerWaiter } from './sessions.ts';

/** Unused connections that are kept for one endpoint: what a burst leaves. */
const IDLE_PER_ENDPOINT_MAX = 128;
/** Shorter than the time after which common servers close an unused connection, which would cost a request. */
const IDLE_MS = 55_000;
/** How long a request waits for a connection when there are as many as may be: as long as for a new one. */
const WAIT_MS = 10_000;

/** How many connections one endpoint has, and how many requests wait for them. */
export interface EndpointLimits {
  readonly connectionsPerEndpoint: number;
  readonly waitingPerEndpoint: number;
}

interface Waiting {
  readonly user: ServerUser;
  readonly sinceMs: number;
}

/**
 * The HTTP/1 connections to one endpoint: one exchange at a time on each. A new one is opened when all are in use;
 * when there are as many as may be, requests wait for the next that is free.
 */
export class EndpointConnections implements Timer {
  readonly #host: Http1Host;
  readonly #dialer: Dialer;
  readonly #endpoint: UpstreamEndpoint;
  readonly #limits: EndpointLimits;
  /** There is no connection any more, and nobody waits for one. */
  readonly #onUnused: () => void;
  readonly #idle: Http1Upstream[] = [];
  /** In the order in which they came. */
  readonly #waiting = new Map<ServerWaiter, Waiting>();
  /** Open or on their way. */
  #count = 0;

  constructor(
    host: Http1Host,
    dialer: Dialer,
    to: { readonly endpoint: UpstreamEndpoint; readonly limits: EndpointLimits },
    onUnused: () => void,
  ) {
    this.#host = host;
    this.#dialer = dialer;
    this.#endpoint = to.endpoint;
    this.#limits = to.limits;
    this.#onUnused = onUnused;
  }

  get uid(): WorkloadUid {
    return this.#endpoint.workload.uid;
  }

  /** Kept for the next request. */
  get idleCount(): number {
    return this.#idle.length;
  }

  acquire(user: ServerUser, waiter: ServerWaiter): Acquiring {
    const server = this.#idle.pop();
    if (server !== undefined) {
      waiter.onServer(server.begin(user));
      return NOTHING_TO_CANCEL;
    }
    const { connectionsPerEndpoint, waitingPerEndpoint } = this.#limits;
    if (this.#count < connectionsPerEndpoint) return this.#dial(user, waiter);
    if (this.#waiting.size >= waitingPerEndpoint) {
      waiter.onServerFull(
        `the endpoint has ${connectionsPerEndpoint} connections and ${waitingPerEndpoint} requests wait for one, as many as may`,
      );
      return NOTHING_TO_CANCEL;
    }
    const { loop } = this.#host;
    if (this.#waiting.size === 0) loop.timers.schedule(this, loop.nowMs + WAIT_MS);
    this.#waiting.set(waiter, { user, sinceMs: loop.nowMs });
    return { cancel: () => void this.#waiting.delete(waiter) };
  }

  /** Keeps no connection that is not used. */
  drain(): void {
    // Each takes itself out of the list as it closes.
    for (let last = this.#idle.at(-1); last !== undefined; last = this.#idle.at(-1)) last.close();
  }

  // --- Timer

  onTimer(nowMs: number): void {
    for (const [waiter, { sinceMs }] of this.#waiting) {
      if (nowMs < sinceMs + WAIT_MS) {
        this.#host.loop.timers.schedule(this, sinceMs + WAIT_MS);
        return;
      }
      this.#waiting.delete(waiter);
      waiter.onServerFull(`no connection to the endpoint was free for ${WAIT_MS / 1_000} s`);
    }
    this.#endIfUnused();
  }

  // ---

  #dial(user: ServerUser, waiter: ServerWaiter): Acquiring {
    this.#count++;
    let isOver = false;
    const dialing = this.#dialer.dial(this.#endpoint, {
      onChannel: (open) => {
        isOver = true;
        const made = new Http1Upstream(this.#host, open, {
          onIdle: () => this.#keep(made),
          onClosed: () => this.#drop(made),
        });
        waiter.onServer(made.begin(user));
      },
      onChannelFailed: (reason) => {
        isOver = true;
        this.#gone();
        waiter.onServerFailed(reason);
      },
    });
    return {
      cancel: () => {
        if (isOver) return;
        isOver = true;
        dialing.cancel();
        this.#gone();
      },
    };
  }

  #keep(server: Http1Upstream): void {
    const next = this.#takeWaiting();
    if (next !== undefined) {
      next.waiter.onServer(server.begin(next.user));
    } else if (this.#idle.length >= IDLE_PER_ENDPOINT_MAX) server.close();
    else {
      this.#idle.push(server);
      server.closeAt(this.#host.loop.nowMs + IDLE_MS);
    }
  }

  #drop(server: Http1Upstream): void {
    const at = this.#idle.indexOf(server);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#gone();
  }

  /** One connection less: there is room for another one. */
  #gone(): void {
    this.#count--;
    const next = this.#takeWaiting();
    if (next !== undefined) this.#dial(next.user, next.waiter);
    this.#endIfUnused();
  }

  #takeWaiting(): { readonly waiter: ServerWaiter; readonly user: ServerUser } | undefined {
    for (const [waiter, { user }] of this.#waiting) {
      this.#waiting.delete(waiter);
      return { waiter, user };
    }
    return undefined;
  }

  #endIfUnused(): void {
    if (this.#count > 0 || this.#waiting.size > 0) return;
    this.#host.loop.timers.cancel(this);
    this.#onUnused();
  }
}
