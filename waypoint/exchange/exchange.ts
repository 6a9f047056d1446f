import type { Header } from '#codec/http2/field.ts';
import type { WorkloadUid } from '#dataplane/state/names.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import type { Loop } from '#reactor/loop.ts';
import { PendingBytes } from '#reactor/pending.ts';
import type { Timer } from '#reactor/timers.ts';

import type { RequestMessage, ResponseMessage } from '../request/head.ts';
import type { EndpointChooser, UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { ServerProtocol, Servers } from '../upstream/servers.ts';
import type { Acquiring, ServerWaiter } from '../upstream/sessions.ts';
import type { ConnectionFacts, Decision } from './decision.ts';
import type { ClientEnd, ClientUser, ServerEnd, ServerFailure, ServerUser } from './ends.ts';
import { GrpcMessages } from './grpc-messages.ts';
import { isGrpc, LocalResponse } from './local-response.ts';
import type { Places } from './places.ts';
import type { ExchangeRecord } from './record.ts';

/** How much and how long one exchange may; Infinity for no limit. */
export interface ExchangeLimits {
  /** Bytes of a request's body. */
  readonly requestBodyBytes: number;
  /** Without a byte either way. */
  readonly streamIdleMs: number;
}

/** What the exchanges of a worker share. */
export interface ExchangeHost {
  readonly loop: Loop;
  readonly chooser: EndpointChooser;
  readonly servers: Servers;
  readonly random: () => number;
  readonly limits: ExchangeLimits;
  /** One for each exchange. */
  readonly requests: Places;
  /** What is kept of requests counts in it. */
  readonly kept: ByteBudget;
  /** Which protocol the endpoints of the target speak, when a request comes in this way. */
  protocolFor(
    decision: Decision & { readonly kind: 'forward' },
    request: RequestMessage,
  ): ServerProtocol;
  decide(facts: ConnectionFacts, request: RequestMessage): Decision;
  /** An exchange is over. */
  finished(record: ExchangeRecord): void;
}

/** A request's body up to this size is kept until the answer begins, so that it can be sent to another endpoint. */
const REPLAY_BYTES_MAX = 65_536;
/**
 * How long a peer may take nothing of what waits for it, and a client may stop in a body of which it has said the
 * length. Envoy's default for both.
 */
const STALL_MS = 300_000;
/** Longest wait before a further attempt. */
const BACKOFF_MS_MAX = 1_000;

const NOBODY: ReadonlySet<WorkloadUid> = new Set();

/**
 * ```
 * decide ─▶ answer of our own ─────────────────────────────────▶ ended
 *    └────▶ waiting for a server ─▶ sent ─▶ answering ─────────▶ ended
 *               ▲                    │
 *               └── another attempt ─┘
 * ```
 * One request and its response.
 */
export class Exchange implements ClientUser, ServerUser, ServerWaiter, Timer {
  readonly #host: ExchangeHost;
  readonly #client: ClientEnd;
  readonly #request: RequestMessage;
  readonly #decision: Decision;
  readonly #record: ExchangeRecord;
  #phase: 'waiting' | 'sent' | 'answering' | 'ended' = 'waiting';
  #endpoint: UpstreamEndpoint | undefined;
  #server: ServerEnd | undefined;
  #acquiring: Acquiring | undefined;
  /** Of the request's body: from its beginning while it can be sent again, otherwise what waits for a server. */
  readonly #kept: PendingBytes;
  #replayable = true;
  /** Bytes for which the client, or the server, has no credit yet. */
  #clientOwed = 0;
  #serverOwed = 0;
  #requestEnded: boolean;
  #requestTrailers: readonly Header[] | undefined;
  #responseEnded = false;
  /** 101: bytes both ways until both have ended. */
  #isTunnel = false;
  #attempts = 0;
  #failed: Set<WorkloadUid> | undefined;
  readonly #deadlineMs: number | undefined;
  /** What had moved when somebody looked last, and since when it has stood still. */
  #seenBytes = -1;
  #seenQueued = 0;
  #stillSinceMs: number;
  /** What the timer is for. */
  #timer: 'none' | 'retry' | 'attempt' | 'whole' = 'none';

  /** Ends the client's turn: decides and begins. */
  constructor(
    host: ExchangeHost,
    facts: ConnectionFacts,
    client: ClientEnd,
    request: RequestMessage,
  ) {
    this.#host = host;
    this.#client = client;
    this.#request = request;
    this.#requestEnded = !request.hasBody;
    this.#kept = new PendingBytes(host.kept);
    this.#stillSinceMs = host.loop.nowMs;
    this.#decision = host.requests.isFull ? NO_PLACE : host.decide(facts, request);
    host.requests.take();
    this.#record = {
      startMs: host.loop.nowMs,
      facts,
      request,
      decision: this.#decision,
      endpoint: undefined,
      status: 0,
      flag: '-',
      details: '',
      requestBytes: 0,
      responseBytes: 0,
      endMs: 0,
      attempts: 0,
      responseMs: undefined,
      grpcStatus: undefined,
      messages: isGrpc(request) ? new GrpcMessages() : undefined,
    };
    const decision = this.#decision;
    this.#deadlineMs =
      decision.kind === 'forward' && decision.timeoutMs !== undefined
        ? host.loop.nowMs + decision.timeoutMs
        : undefined;
  }

  begin(): void {
    const decision = this.#decision;
    if (decision.kind === 'answer') {
      this.#answer(decision);
    } else if (this.#request.contentLength > this.#host.limits.requestBodyBytes) {
      this.#refuseBody();
    } else this.#attempt();
  }

  // --- Attempts

  #attempt(): void {
    const decision = this.#decision;
    if (decision.kind !== 'forward' || this.#phase === 'ended') return;
    const { chooser, servers, random } = this.#host;
    const chosen = chooser.choose(decision.target, this.#failed ?? NOBODY, servers.load, random);
    if ('reason' in chosen) {
      this.#unavailable('UH', chosen.reason);
      return;
    }
    this.#attempts++;
    this.#phase = 'waiting';
    this.#endpoint = chosen;
    this.#record.endpoint = chosen;
    servers.addLoad(chosen.workload.uid, 1);
    this.#setTimer('attempt');
    const protocol = this.#host.protocolFor(decision, this.#request);
    const acquiring = servers.acquire(chosen, protocol, this, this);
    if (this.#phase === 'waiting' && this.#endpoint === chosen) this.#acquiring = acquiring;
  }

  onServer(end: ServerEnd): void {
    const decision = this.#decision;
    if (this.#phase !== 'waiting' || decision.kind !== 'forward') return;
    this.#acquiring = undefined;
    this.#server = end;
    if (!end.request(this.#request, decision.requestPlan)) {
      this.onServerGone({ kind: 'refused', reason: 'the connection takes no more requests' });
      return;
    }
    this.#phase = 'sent';
    if (this.#kept.length > 0) {
      const bytes = Buffer.allocUnsafeSlow(this.#kept.length);
      this.#kept.peekTo(bytes, 0, bytes.length);
      end.body(bytes, 0, bytes.length);
    }
    if (!this.#replayable || this.#kept.length > REPLAY_BYTES_MAX) this.#stopKeeping();
    this.#giveClientCredit();
    if (this.#requestEnded) end.finish(this.#requestTrailers);
  }

  onServerFull(reason: string): void {
    if (this.#phase !== 'waiting') return;
    this.#acquiring = undefined;
    this.#answer({ ...OVERFLOW, details: reason });
  }

  onServerFailed(reason: string): void {
    if (this.#phase !== 'waiting') return;
    this.#acquiring = undefined;
    this.onServerGone({ kind: 'refused', reason });
  }

  onServerGone(failure: ServerFailure): void {
    if (this.#phase === 'ended') return;
    this.#server = undefined;
    if (this.#phase === 'answering') {
      this.#cut('UC', failure.reason);
      return;
    }
    this.#leaveEndpoint('avoid');
    const mayTry =
      failure.kind === 'refused' || (failure.kind === 'stale' && isIdempotent(this.#request));
    if (mayTry && this.#tryAgain()) return;
    this.#unavailable(failure.kind === 'refused' ? 'UF' : 'UC', failure.reason);
  }

  /** Makes another attempt, at another endpoint if there is one; false when there is to be none. */
  #tryAgain(): boolean {
    const decision = this.#decision;
    if (decision.kind !== 'forward' || !this.#mayTryAgain()) return false;
    const { backoffMs } = decision.retry;
    const waitMs = Math.min(backoffMs * 2 ** (this.#attempts - 1), BACKOFF_MS_MAX);
    this.#phase = 'waiting';
    this.#setTimer('retry', waitMs * (0.5 + this.#host.random() / 2));
    return true;
  }

  get #mayTryTimedOut(): boolean {
    return this.#decision.kind === 'forward' && this.#decision.retry.timeouts;
  }

  #mayTryAgain(): boolean {
    const decision = this.#decision;
    if (decision.kind !== 'forward' || !this.#replayable) return false;
    return this.#attempts <= decision.retry.attempts;
  }

  /** Takes back what is asked of the endpoint, and lets it go. `avoid`: the next attempt goes elsewhere. */
  #leaveEndpoint(next: 'avoid' | 'none'): void {
    this.#acquiring?.cancel();
    this.#acquiring = undefined;
    this.#giveServerCredit();
    this.#server?.cancel();
    this.#server = undefined;
    const uid = this.#endpoint?.workload.uid;
    if (uid === undefined) return;
    this.#endpoint = undefined;
    this.#host.servers.addLoad(uid, -1);
    if (next === 'none') return;
    this.#failed ??= new Set();
    this.#failed.add(uid);
  }

  // --- ClientUser

  onRequestBody(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    this.#record.requestBytes += length;
    this.#record.messages?.request.take(bytes, start, end);
    if (this.#phase === 'ended') {
      this.#client.consume(length);
      return;
    }
    this.#clientOwed += length;
    const { kept, limits } = this.#host;
    if (this.#record.requestBytes > limits.requestBodyBytes && !this.#isTunnel) {
      this.#refuseBody();
      return;
    }
    const server = this.#server;
    if (server === undefined) {
      // The client's windows bound it: it gets no credit meanwhile.
      this.#kept.append(bytes, start, end);
      if (this.#kept.overflows) this.#overflow('the memory for requests is full');
      return;
    }
    if (this.#replayable && this.#phase === 'sent') {
      const fits = this.#kept.length + length <= REPLAY_BYTES_MAX && !kept.isFull;
      if (fits) this.#kept.append(bytes, start, end);
      else this.#stopKeeping();
    }
    server.body(bytes, start, end);
    this.#giveClientCredit();
    if (server.queued > 0 && server.overflows) this.#overflow('the endpoint reads too slowly');
  }

  onRequestEnd(trailers: readonly Header[] | undefined): void {
    this.#requestEnded = true;
    this.#requestTrailers = trailers;
    if (this.#phase === 'ended') return;
    this.#server?.finish(trailers);
    if (this.#isTunnel && this.#responseEnded) this.#end();
  }

  onClientDrained(): void {
    this.#giveServerCredit();
  }

  onClientGone(reason: string): void {
    if (this.#phase === 'ended') return;
    this.#details('DC', reason);
    this.#end();
  }

  look(nowMs: number): void {
    if (this.#phase === 'ended') return;
    const { requestBytes, responseBytes } = this.#record;
    const waits = this.#client.queued + (this.#server?.queued ?? 0);
    if (this.#seenBytes !== requestBytes + responseBytes || this.#seenQueued !== waits) {
      this.#seenBytes = requestBytes + responseBytes;
      this.#seenQueued = waits;
      this.#stillSinceMs = nowMs;
    }
    const isStalled = waits > 0 || (this.#request.contentLength > 0 && !this.#requestEnded);
    const { streamIdleMs } = this.#host.limits;
    const mostMs = isStalled ? Math.min(STALL_MS, streamIdleMs) : streamIdleMs;
    if (nowMs - this.#stillSinceMs < mostMs) return;
    const details = `no byte has moved for ${Math.round(mostMs / 1_000)} s`;
    if (this.#phase === 'answering') this.#cut('SI', details);
    else {
      const status = this.#requestEnded ? 504 : 408;
      this.#answer({ status, fields: [], body: 'stream timeout', flag: 'SI', details });
    }
  }

  // --- ServerUser

  onInterim(status: number, fields: readonly Header[]): void {
    if (this.#phase === 'sent') this.#client.interim(status, fields);
  }

  onResponse(response: ResponseMessage): void {
    const decision = this.#decision;
    if (this.#phase !== 'sent' || decision.kind !== 'forward') return;
    if (decision.retry.codes.includes(response.status) && this.#mayTryAgain()) {
      this.#leaveEndpoint('avoid');
      this.#tryAgain();
      return;
    }
    this.#stopKeeping();
    this.#phase = 'answering';
    this.#isTunnel = response.status === 101;
    if (this.#isTunnel) {
      // What follows on both sides is what the new protocol says, for as long as it likes.
      this.#requestEnded = false;
      this.#timer = 'none';
      this.#host.loop.timers.cancel(this);
    } else this.#setTimer('whole');
    this.#record.status = response.status;
    this.#record.responseMs = this.#host.loop.nowMs;
    this.#record.grpcStatus = response.header('grpc-status');
    const { messages } = this.#record;
    if (messages !== undefined && !isGrpc(response)) messages.response.stop();
    this.#client.respond(response, decision.responsePlan);
  }

  onResponseBody(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#phase !== 'answering') return;
    this.#record.responseBytes += length;
    this.#record.messages?.response.take(bytes, start, end);
    this.#client.body(bytes, start, end);
    if (this.#client.queued > 0) {
      this.#serverOwed += length;
      if (this.#client.overflows) this.#overflow('the client reads too slowly');
    } else this.#server?.consume(length);
  }

  onResponseEnd(trailers: readonly Header[] | undefined): void {
    if (this.#phase !== 'answering') return;
    this.#responseEnded = true;
    const grpcStatus = trailers?.find(([name]) => name === 'grpc-status')?.[1];
    if (grpcStatus !== undefined) this.#record.grpcStatus = grpcStatus;
    this.#client.finish(trailers);
    if (!this.#isTunnel || this.#requestEnded) this.#end();
  }

  onServerDrained(): void {
    this.#giveClientCredit();
  }

  // --- Timer

  onTimer(): void {
    const timer = this.#timer;
    this.#timer = 'none';
    if (timer === 'retry') {
      this.#attempt();
      return;
    }
    const isOver = this.#deadlineMs !== undefined && this.#host.loop.nowMs >= this.#deadlineMs;
    if (this.#phase === 'answering') {
      this.#cut('UT', 'the answer took too long');
      return;
    }
    this.#leaveEndpoint('avoid');
    // What has timed out may have been done: only a rule can say that it may be done again.
    if (!isOver && this.#mayTryTimedOut && this.#tryAgain()) return;
    this.#answer({
      status: 504,
      fields: [],
      body: 'upstream request timeout',
      flag: 'UT',
      details: 'no answer in time',
    });
  }

  onFault(error: unknown): void {
    if (this.#phase === 'ended') return;
    this.#cut('-', `internal error: ${error instanceof Error ? error.message : String(error)}`);
  }

  // ---

  /** The client sees that the answer is not complete. */
  #cut(flag: string, details: string): void {
    this.#details(flag, details);
    this.#client.abort();
    this.#end();
  }

  /** There is no room for what waits. */
  #overflow(details: string): void {
    if (this.#phase === 'answering') this.#cut('UO', details);
    else this.#answer({ ...OVERFLOW, details });
  }

  #refuseBody(): void {
    const most = this.#host.limits.requestBodyBytes;
    const details = `request_payload_too_large: more than ${most} bytes`;
    if (this.#phase === 'answering') {
      this.#cut('-', details);
      return;
    }
    const body = `the body of the request is larger than ${most} bytes`;
    this.#answer({ status: 413, fields: [], body, flag: '-', details });
  }

  #unavailable(flag: string, details: string): void {
    const body =
      flag === 'UH'
        ? 'no healthy upstream'
        : 'upstream connect error or disconnect/reset before headers';
    this.#answer({ status: 503, fields: [], body, flag, details });
  }

  #answer(answer: {
    readonly status: number;
    readonly fields: readonly Header[];
    readonly body: string;
    readonly flag: string;
    readonly details: string;
  }): void {
    this.#details(answer.flag, answer.details);
    this.#record.status = answer.status;
    this.#phase = 'answering';
    const response = new LocalResponse(this.#request, answer);
    this.#client.respond(response, {});
    const { bytes } = response;
    if (bytes.length > 0) this.#client.body(bytes, 0, bytes.length);
    this.#record.responseBytes = bytes.length;
    if (response.hasBody) this.#client.finish(undefined);
    this.#end();
  }

  #details(flag: string, details: string): void {
    this.#record.flag = flag;
    this.#record.details = details;
  }

  #stopKeeping(): void {
    this.#replayable = false;
    this.#kept.clear();
  }

  /** For everything that the server has taken. */
  #giveClientCredit(): void {
    if (this.#clientOwed === 0 || this.#server === undefined || this.#server.queued > 0) return;
    const owed = this.#clientOwed;
    this.#clientOwed = 0;
    this.#client.consume(owed);
  }

  /** For everything that the client has taken; at the end for all: the connection goes on to serve others. */
  #giveServerCredit(): void {
    const owed = this.#serverOwed;
    this.#serverOwed = 0;
    if (owed > 0) this.#server?.consume(owed);
  }

  #setTimer(timer: 'retry' | 'attempt' | 'whole', waitMs?: number): void {
    const { loop } = this.#host;
    const decision = this.#decision;
    const attemptMs =
      timer === 'attempt' && decision.kind === 'forward' ? decision.attemptTimeoutMs : waitMs;
    let dueMs = attemptMs === undefined ? undefined : loop.nowMs + attemptMs;
    if (this.#deadlineMs !== undefined && (dueMs === undefined || this.#deadlineMs < dueMs)) {
      dueMs = this.#deadlineMs;
      this.#timer = 'whole';
    } else this.#timer = dueMs === undefined ? 'none' : timer;
    if (dueMs === undefined) loop.timers.cancel(this);
    else loop.timers.schedule(this, dueMs);
  }

  #end(): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.#host.requests.free();
    this.#host.loop.timers.cancel(this);
    // What is left of the request is not wanted: only a server that has had and said everything can be used again.
    if (this.#responseEnded && this.#requestEnded) {
      this.#giveServerCredit();
      this.#server = undefined;
    }
    this.#leaveEndpoint('none');
    this.#kept.clear();
    if (this.#clientOwed > 0) this.#client.consume(this.#clientOwed);
    this.#clientOwed = 0;
    this.#record.endMs = this.#host.loop.nowMs;
    this.#record.attempts = this.#attempts;
    this.#host.finished(this.#record);
  }
}

const OVERFLOW = {
  status: 503,
  fields: [],
  body: 'upstream connect error or disconnect/reset before headers. reset reason: overflow',
  flag: 'UO',
} as const;

/** What is done when there is no place for one more request. */
const NO_PLACE: Decision = {
  ...OVERFLOW,
  kind: 'answer',
  details: 'as many requests are in progress as may be',
};

/** May it be done twice (RFC 9110 section 9.2.2)? */
function isIdempotent(request: RequestMessage): boolean {
  return IDEMPOTENT.has(request.method);
}

const IDEMPOTENT: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
]);
