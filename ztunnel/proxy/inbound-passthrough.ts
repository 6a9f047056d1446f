import { formatSocketAddress } from '#common/net/address.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import type { ResponseFlag } from '#dataplane/telemetry/connection-labels.ts';
import {
  type RelayEnd,
  type RelayObserver,
  SocketRelay,
  type SocketRelayState,
} from '#reactor/relay.ts';
import { closeSocket, setLinger0 } from '#reactor/socket.ts';

import { Accounting, type AccountingState, refuseEarly } from './accounting.ts';
import type { Denial, PolicedConnection } from './connections.ts';
import {
  type ConnectionDescription,
  connectFromPod,
  type LiveConnection,
  type PodContext,
} from './context.ts';
import { rejection } from './inbound.ts';
import { localWorkload, unknownLocalWorkload } from './local-workload.ts';
import type { Accepted } from './outbound.ts';
import { isOwnPort, SELF_CALL } from './ports.ts';
import { guessService } from './service-guess.ts';

/** A plaintext inbound connection for another process. */
export interface PlaintextState {
  readonly facts: ConnectionFacts;
  readonly workload: Workload;
  readonly accounting: AccountingState;
  readonly upstreamFd: number;
  readonly relay: SocketRelayState;
}

/**
 * Judges a connection that came in plaintext, captured on 15006, and carries it to the application. Takes
 * over `fd`. It has no identity, so a policy that asks for one refuses it.
 */
export function acceptPlaintext(context: PodContext, fd: number, accepted: Accepted): void {
  const { thread } = context;
  const workload = localWorkload(context);
  const refusal = isOwnPort(accepted.target.port) ? SELF_CALL : unknownLocalWorkload(context.pod);
  if (isOwnPort(accepted.target.port) || workload === undefined) {
    const ends = { source: accepted.source, destination: accepted.target };
    refuseEarly(thread, 'inbound', ends, refusal);
    setLinger0(fd);
    closeSocket(fd);
    return;
  }
  const facts: ConnectionFacts = {
    sourceIp: accepted.source.ip,
    destinationIp: accepted.target.ip,
    destinationPort: accepted.target.port,
    identity: undefined,
  };
  const accounting = openAccounting(context, accepted, workload);
  new PlaintextConnection(context, { facts, workload }, accounting).begin(fd, accepted);
}

export class PlaintextConnection implements LiveConnection, PolicedConnection, RelayObserver {
  readonly facts: ConnectionFacts;
  readonly workload: Workload;
  readonly #context: PodContext;
  readonly #accounting: Accounting;
  #relay: SocketRelay | undefined;
  #ended = false;

  constructor(
    context: PodContext,
    subject: { readonly facts: ConnectionFacts; readonly workload: Workload },
    accounting: Accounting,
  ) {
    this.#context = context;
    this.facts = subject.facts;
    this.workload = subject.workload;
    this.#accounting = accounting;
    context.live.add(this);
    context.thread.connections.register(this);
    context.thread.metrics.socketsOpen.destination++;
  }

  begin(fd: number, accepted: Accepted): void {
    const { thread } = this.#context;
    const verdict = thread.connections.judge(this);
    if (verdict.kind === 'deny') {
      this.#refuse(fd, rejection(verdict, 'rejection'));
      return;
    }
    const spoof = thread.settings.originalSource && accepted.source.ip !== accepted.target.ip;
    const sourceIp = spoof ? accepted.source.ip : undefined;
    const dialed = connectFromPod(this.#context, accepted.target, sourceIp);
    if (!('fd' in dialed)) {
      const error = `connection failed: ${dialed.reason}`;
      this.#refuse(fd, { flag: 'CONNECT', error });
      return;
    }
    const ends = { downstreamFd: fd, upstreamFd: dialed.fd };
    this.#relay = new SocketRelay(thread.loop, thread.scratch, ends, this);
    this.thaw();
  }

  countBytes(): void {
    if (this.#relay === undefined) return;
    this.#accounting.count(this.#relay.downstream.received, this.#relay.upstream.received);
  }

  cut(why: string | Denial): void {
    if (this.#ended) return;
    this.#relay?.abort();
    this.countBytes();
    this.#finish(typeof why === 'string' ? { flag: '-', error: why } : rejection(why, 'change'));
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

  /** The client's socket. */
  get fd(): number {
    return (this.#relay as SocketRelay).downstream.fd;
  }

  export(): PlaintextState {
    const relay = this.#relay as SocketRelay;
    return {
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
    state: PlaintextState,
    ends: { readonly downstreamFd: number; readonly upstreamFd: number },
  ): PlaintextConnection {
    const { thread } = context;
    const accounting = Accounting.restore(thread, state.accounting);
    const connection = new PlaintextConnection(context, state, accounting);
    connection.#relay = new SocketRelay(thread.loop, thread.scratch, ends, connection, state.relay);
    return connection;
  }

  // ---

  #refuse(
    fd: number,
    failure: { readonly flag: ResponseFlag; readonly error: string; readonly policy?: string },
  ): void {
    setLinger0(fd);
    closeSocket(fd);
    this.#finish(failure);
  }

  #finish(failure?: {
    readonly flag: ResponseFlag;
    readonly error: string;
    readonly policy?: string;
  }): void {
    if (this.#ended) return;
    this.#ended = true;
    const { thread, live } = this.#context;
    live.delete(this);
    thread.connections.forget(this);
    thread.metrics.socketsOpen.destination--;
    this.#accounting.finish(failure);
  }
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
