import { formatSocketAddress } from '#common/net/address.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import {
  type RelayEnd,
  type RelayObserver,
  SocketRelay,
  type SocketRelayState,
} from '#reactor/relay.ts';
import { closeSocket, resetSocket } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

import { Accounting, type AccountingState, type Failure, refuseEarly } from './accounting.ts';
import type { Denial, PolicedConnection } from './connections.ts';
import {
  type ConnectionDescription,
  connectFromPod,
  internalError,
  type LiveConnection,
  type PodContext,
} from './context.ts';
import { rejection } from './inbound.ts';
import { localWorkload, unknownLocalWorkload, waitForLocalWorkload } from './local-workload.ts';
import type { Accepted } from './outbound.ts';
import { isOwnPort, SELF_CALL } from './ports.ts';
import { guessService } from './service-guess.ts';

/** A plaintext inbound connection for another process. */
export type PlaintextState = WaitingPlaintextState | RelayedPlaintextState;

interface WaitingPlaintextState {
  readonly kind: 'waiting';
  readonly accepted: Accepted;
}

interface RelayedPlaintextState {
  readonly kind: 'relayed';
  readonly facts: ConnectionFacts;
  readonly workload: Workload;
  readonly accounting: AccountingState;
  readonly upstreamFd: number;
  readonly relay: SocketRelayState;
}

/**
 * ```
 * accepted ──────────────────────────────▶ judged ─▶ SocketRelay ─▶ ended
 *     └─▶ waits for the pod's configuration ──▲
 * ```
 * Judges a connection that came in plaintext, captured on 15006, and carries it to the application. Takes
 * over `fd`. It has no identity, so a policy that asks for one refuses it.
 */
export function acceptPlaintext(context: PodContext, fd: number, accepted: Accepted): void {
  const workload = localWorkload(context);
  if (isOwnPort(accepted.target.port)) {
    refuse(context, fd, accepted, SELF_CALL);
  } else if (workload !== undefined) {
    carry(context, fd, accepted, workload);
  } else if (admitsWaiting(context, accepted)) {
    new WaitingPlaintext(context, fd, accepted).begin();
  } else {
    resetSocket(fd);
  }
}

/** Continues a connection of another process, frozen until its `thaw`. */
export function restorePlaintext(
  context: PodContext,
  state: PlaintextState,
  fd: number,
): WaitingPlaintext | PlaintextConnection {
  return state.kind === 'waiting'
    ? new WaitingPlaintext(context, fd, state.accepted)
    : PlaintextConnection.restore(context, state, fd);
}

/** A connection to a pod that is not known yet: nothing can be judged. */
export class WaitingPlaintext implements LiveConnection, Timer {
  /** The client's socket. */
  readonly fd: number;
  readonly #context: PodContext;
  readonly #accepted: Accepted;
  #over = false;

  /** Takes over `fd`. */
  constructor(context: PodContext, fd: number, accepted: Accepted) {
    this.#context = context;
    this.fd = fd;
    this.#accepted = accepted;
    context.live.add(this);
    context.waitingPlaintext.add(this);
    context.thread.metrics.socketsOpen.destination++;
  }

  /** Goes on as soon as the pod is known. */
  begin(): void {
    const workload = localWorkload(this.#context);
    if (workload !== undefined) {
      this.#leave();
      carry(this.#context, this.fd, this.#accepted, workload);
    } else if (!waitForLocalWorkload(this.#context, this, this.#accepted.startMs)) {
      this.cut(unknownLocalWorkload(this.#context.pod));
    }
  }

  onTimer(): void {
    if (!this.#over) this.begin();
  }

  onFault(error: unknown): void {
    this.cut(internalError(error));
  }

  countBytes(): void {
    // Nothing has been read.
  }

  cut(reason: string): void {
    if (this.#over) return;
    this.#leave();
    refuse(this.#context, this.fd, this.#accepted, reason);
  }

  describe(): ConnectionDescription {
    const { source, target } = this.#accepted;
    return {
      direction: 'inbound',
      source: formatSocketAddress(source),
      originalDestination: formatSocketAddress(target),
      actualDestination: '',
      protocol: 'TCP',
    };
  }

  // --- Hand-over

  freeze(): void {
    this.#context.thread.loop.timers.cancel(this);
  }

  thaw(): void {
    if (!this.#over) this.begin();
  }

  export(): WaitingPlaintextState {
    return { kind: 'waiting', accepted: this.#accepted };
  }

  /** Another process has it. */
  release(): void {
    this.#leave();
    closeSocket(this.fd);
  }

  // ---

  #leave(): void {
    this.#over = true;
    const { thread, live, waitingPlaintext } = this.#context;
    thread.loop.timers.cancel(this);
    live.delete(this);
    waitingPlaintext.delete(this);
    thread.metrics.socketsOpen.destination--;
  }
}

export class PlaintextConnection implements LiveConnection, PolicedConnection, RelayObserver {
  /** The client's socket. */
  readonly fd: number;
  readonly facts: ConnectionFacts;
  readonly workload: Workload;
  readonly #context: PodContext;
  readonly #accounting: Accounting;
  #relay: SocketRelay | undefined;
  #ended = false;

  /** Takes over `fd`. */
  constructor(
    context: PodContext,
    fd: number,
    subject: { readonly facts: ConnectionFacts; readonly workload: Workload },
    accounting: Accounting,
  ) {
    this.#context = context;
    this.fd = fd;
    this.facts = subject.facts;
    this.workload = subject.workload;
    this.#accounting = accounting;
    context.live.add(this);
    context.thread.connections.register(this);
    context.thread.metrics.socketsOpen.destination++;
  }

  begin(accepted: Accepted): void {
    const { thread } = this.#context;
    const verdict = thread.connections.judge(this);
    if (verdict.kind === 'deny') {
      this.#refuse(rejection(verdict, 'rejection'));
      return;
    }
    const spoof = thread.settings.originalSource && accepted.source.ip !== accepted.target.ip;
    const sourceIp = spoof ? accepted.source.ip : undefined;
    const dialed = connectFromPod(this.#context, accepted.target, sourceIp);
    if (!('fd' in dialed)) {
      const error = `connection failed: ${dialed.reason}`;
      this.#refuse({ flag: 'CONNECT', error });
      return;
    }
    const ends = { downstreamFd: this.fd, upstreamFd: dialed.fd };
    this.#relay = new SocketRelay(thread.loop, thread.scratch, ends, this);
    this.thaw();
  }

  countBytes(): void {
    if (this.#relay === undefined) return;
    this.#accounting.count(this.#relay.downstream.received, this.#relay.upstream.received);
  }

  cut(why: string | Denial): void {
    if (this.#ended) return;
    const failure: Failure =
      typeof why === 'string' ? { flag: '-', error: why } : rejection(why, 'change');
    if (this.#relay === undefined) {
      this.#refuse(failure);
      return;
    }
    this.#relay.abort();
    this.countBytes();
    this.#finish(failure);
  }

  describe(): ConnectionDescription {
    const { record } = this.#accounting;
    const { address } = record.destination;
    return {
      direction: 'inbound',
      source: record.source.address,
      originalDestination: address,
      actualDestination: address,
      protocol: 'TCP',
    };
  }

  onRelayEnd(end: RelayEnd): void {
    this.countBytes();
    if (end.kind === 'complete') {
      if (end.closedBy !== undefined) this.#accounting.record.closedBy = end.closedBy;
      this.#finish();
    } else {
      this.#finish({ flag: 'CONNECT', error: `connection failed: ${end.reason}` });
    }
  }

  // --- Hand-over

  freeze(): void {
    this.countBytes();
    this.#relay?.freeze();
  }

  thaw(): void {
    this.#relay?.start();
  }

  export(): RelayedPlaintextState {
    const relay = this.#relay as SocketRelay;
    return {
      kind: 'relayed',
      facts: this.facts,
      workload: this.workload,
      accounting: this.#accounting.export(),
      upstreamFd: relay.upstream.fd,
      relay: relay.export(),
    };
  }

  release(): void {
    this.#ended = true;
    this.#context.live.delete(this);
    this.#context.thread.connections.forget(this);
    this.#relay?.release();
  }

  /** Continues a connection of another process, frozen until {@link thaw}. */
  static restore(
    context: PodContext,
    state: RelayedPlaintextState,
    fd: number,
  ): PlaintextConnection {
    const { thread } = context;
    const ends = { downstreamFd: fd, upstreamFd: state.upstreamFd };
    const accounting = Accounting.restore(thread, state.accounting);
    const connection = new PlaintextConnection(context, fd, state, accounting);
    connection.#relay = new SocketRelay(thread.loop, thread.scratch, ends, connection, state.relay);
    return connection;
  }

  // ---

  #refuse(failure: Failure): void {
    resetSocket(this.fd);
    this.#finish(failure);
  }

  #finish(failure?: Failure): void {
    if (this.#ended) return;
    this.#ended = true;
    const { thread, live } = this.#context;
    live.delete(this);
    thread.connections.forget(this);
    thread.metrics.socketsOpen.destination--;
    this.#accounting.finish(failure);
  }
}

function carry(context: PodContext, fd: number, accepted: Accepted, workload: Workload): void {
  const facts: ConnectionFacts = {
    sourceIp: accepted.source.ip,
    destinationIp: accepted.target.ip,
    destinationPort: accepted.target.port,
    identity: undefined,
  };
  const accounting = openAccounting(context, accepted, workload);
  const connection = new PlaintextConnection(context, fd, { facts, workload }, accounting);
  try {
    connection.begin(accepted);
  } catch (error) {
    // It may have nothing in the loop yet: nobody else would close it.
    connection.cut(internalError(error));
    throw error;
  }
}

function admitsWaiting(context: PodContext, { source }: Accepted): boolean {
  const { admission, waitingPlaintext, thread } = context;
  const waiting = waitingPlaintext.size;
  return admission.admitsWaiting('connection', waiting, source.ip, thread.loop.nowMs);
}

/** Turns a connection away of which only the addresses are known. */
function refuse(context: PodContext, fd: number, accepted: Accepted, reason: string): void {
  resetSocket(fd);
  const ends = { source: accepted.source, destination: accepted.target };
  refuseEarly(context.thread, 'inbound', ends, reason);
}

function openAccounting(context: PodContext, accepted: Accepted, workload: Workload): Accounting {
  const { thread } = context;
  const source = thread.mesh.workloadByIp(thread.settings.network, accepted.source.ip);
  const service = guessService(thread.mesh, workload, {
    port: accepted.target.port,
    forwardedHost: undefined,
    requested: undefined,
  });
  const record = {
    direction: 'inbound' as const,
    source: {
      address: formatSocketAddress(accepted.source),
      workload: source?.name,
      namespace: source?.namespace,
      cluster: source?.clusterId,
    },
    destination: {
      address: formatSocketAddress(accepted.target),
      service: service?.hostname,
      workload: workload.name,
      namespace: workload.namespace,
      cluster: workload.clusterId,
    },
    startMs: accepted.startMs,
    bytesSent: 0,
    bytesReceived: 0,
  };
  return Accounting.open(thread, record, {
    reporter: 'destination',
    source,
    destination: workload,
    service,
  });
}
