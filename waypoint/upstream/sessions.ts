import type { WorkloadUid } from '#dataplane/state/names.ts';
import type { Timer } from '#reactor/timers.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { ServerEnd, ServerUser } from '../exchange/ends.ts';
import { Http2ServerEnd } from '../http/http2-server-end.ts';
import { Http2Session, type SessionHost, type SessionOwner } from '../http/http2-session.ts';
import type { ChannelWaiter, Dialer, Dialing } from './dialer.ts';
import type { UpstreamEndpoint } from './endpoint.ts';

/** An unused session is closed after this long: one that a busy moment has left. */
const IDLE_MS = 55_000;
/** Sessions with one endpoint: at a server that takes 100 streams on each more requests than it can work on. */
const SESSIONS_MAX = 64;

/** Somebody who wants to send one request. Called once, perhaps before `acquire` returns. */
export interface ServerWaiter {
  onServer(end: ServerEnd): void;
  onServerFailed(reason: string): void;
  /** As many wait for the endpoint as may. */
  onServerFull(reason: string): void;
}

/** A wish for a connection. */
export interface Acquiring {
  /** Not wanted any more: the waiter is not called. */
  cancel(): void;
}

export const NOTHING_TO_CANCEL: Acquiring = { cancel: () => undefined };

/**
 * The HTTP/2 sessions with one endpoint, and who waits for a place on them. One is opened at a time, and only while
 * those that are open have no room.
 */
export class EndpointSessions {
  readonly #host: SessionHost;
  readonly #dialer: Dialer;
  readonly #endpoint: UpstreamEndpoint;
  readonly #waitingMax: number;
  /** There is no session any more, and nobody waits for one. */
  readonly #onUnused: () => void;
  readonly #open = new Set<OpenSession>();
  readonly #waiting = new Map<ServerWaiter, ServerUser>();
  #dialing: SessionDialing | undefined;
  /** Streams that the endpoint takes on one session, as it said last: good for one on which it has not said so yet. */
  #streamsMax = 1;
  #serving = false;

  constructor(
    host: SessionHost,
    dialer: Dialer,
    to: {
      readonly endpoint: UpstreamEndpoint;
      readonly limits: { readonly waitingPerEndpoint: number };
    },
    onUnused: () => void,
  ) {
    this.#host = host;
    this.#dialer = dialer;
    this.#endpoint = to.endpoint;
    this.#waitingMax = to.limits.waitingPerEndpoint;
    this.#onUnused = onUnused;
  }

  get uid(): WorkloadUid {
    return this.#endpoint.workload.uid;
  }

  /** Sessions that are open. */
  get count(): number {
    return this.#open.size;
  }

  acquire(user: ServerUser, waiter: ServerWaiter): Acquiring {
    if (this.#waiting.size >= this.#waitingMax) {
      const most = `${this.#waitingMax} requests wait for the endpoint, as many as may`;
      waiter.onServerFull(most);
      return NOTHING_TO_CANCEL;
    }
    this.#waiting.set(waiter, user);
    this.#serve();
    return { cancel: () => void this.#waiting.delete(waiter) };
  }

  /** Opens no more for nobody; sessions end with their last stream. */
  drain(): void {
    for (const one of this.#open) one.drain();
    if (this.#waiting.size > 0) return;
    this.#dialing?.cancel();
    this.#dialing = undefined;
    this.#endIfUnused();
  }

  // --- From the sessions

  onDialed(open: (user: ChannelUser) => Channel): void {
    this.#dialing = undefined;
    this.#open.add(new OpenSession(this.#host, this, open));
    this.#serve();
  }

  onDialFailed(reason: string): void {
    this.#dialing = undefined;
    this.#failAll(reason);
    this.#endIfUnused();
  }

  onRoom({ session }: OpenSession): void {
    // One at least, so that each that is opened takes somebody in.
    this.#streamsMax = Math.max(1, session.peerStreamsMax ?? this.#streamsMax);
    this.#serve();
  }

  onEnd(ended: OpenSession, reason: string): void {
    this.#open.delete(ended);
    // Whoever does not even begin to speak HTTP/2 will not do so the next time.
    if (ended.session.peerStreamsMax === undefined && this.#open.size === 0) this.#failAll(reason);
    this.#serve();
    this.#endIfUnused();
  }

  // ---

  #serve(): void {
    // Who is served may end at once, and so make room: the loop below sees it.
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (const [waiter, user] of this.#waiting) {
        const found = this.#withRoom();
        if (found === undefined) break;
        this.#waiting.delete(waiter);
        waiter.onServer(new Http2ServerEnd(found.session, user));
        found.look();
      }
    } finally {
      this.#serving = false;
    }
    if (this.#waiting.size === 0 || this.#dialing !== undefined) return;
    if (this.#open.size >= SESSIONS_MAX || this.#isAwaited) return;
    const dialing = new SessionDialing(this);
    this.#dialing = dialing;
    dialing.start(this.#dialer, this.#endpoint);
  }

  #withRoom(): OpenSession | undefined {
    for (const one of this.#open) {
      const { session } = one;
      if (!session.hasRoom) continue;
      // Until it has said how many it takes, no more than it took last time (RFC 9113 section 5.1.2).
      if (session.peerStreamsMax !== undefined || session.streamCount < this.#streamsMax)
        return one;
    }
    return undefined;
  }

  /** One that is open is about to say how much room it has. */
  get #isAwaited(): boolean {
    for (const { session } of this.#open) if (session.peerStreamsMax === undefined) return true;
    return false;
  }

  #failAll(reason: string): void {
    const waiters = [...this.#waiting.keys()];
    this.#waiting.clear();
    for (const waiter of waiters) waiter.onServerFailed(reason);
  }

  #endIfUnused(): void {
    if (this.#open.size > 0 || this.#waiting.size > 0 || this.#dialing !== undefined) return;
    this.#onUnused();
  }
}

/** A session on its way. */
class SessionDialing implements ChannelWaiter {
  readonly #sessions: EndpointSessions;
  #dialing: Dialing | undefined;

  constructor(sessions: EndpointSessions) {
    this.#sessions = sessions;
  }

  start(dialer: Dialer, endpoint: UpstreamEndpoint): void {
    this.#dialing = dialer.dial(endpoint, this);
  }

  cancel(): void {
    this.#dialing?.cancel();
  }

  onChannel(open: (user: ChannelUser) => Channel): void {
    this.#sessions.onDialed(open);
  }

  onChannelFailed(reason: string): void {
    this.#sessions.onDialFailed(reason);
  }
}

/** One session: ended when nobody has used it for long. */
class OpenSession implements SessionOwner, Timer {
  readonly session: Http2Session;
  readonly #host: SessionHost;
  readonly #sessions: EndpointSessions;

  constructor(host: SessionHost, sessions: EndpointSessions, open: (user: ChannelUser) => Channel) {
    this.#host = host;
    this.#sessions = sessions;
    this.session = new Http2Session('client', host, open, this);
    this.look();
  }

  drain(): void {
    this.session.drain();
  }

  /** Is it in use? */
  look(): void {
    const { loop } = this.#host;
    if (!this.session.isOpen || this.session.streamCount > 0) loop.timers.cancel(this);
    else loop.timers.schedule(this, loop.nowMs + IDLE_MS);
  }

  // --- SessionOwner

  onSessionRequest(): void {
    // The codec refuses requests in the client role.
  }

  onSessionRoom(): void {
    this.look();
    this.#sessions.onRoom(this);
  }

  onSessionFault(): void {
    // The end says it, too.
  }

  onSessionEnd(reason: string): void {
    this.#host.loop.timers.cancel(this);
    this.#sessions.onEnd(this, reason);
  }

  // --- Timer

  onTimer(): void {
    this.session.drain();
  }

  onFault(error: unknown): void {
    this.session.close(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }
}
