import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';
import type { Service } from '#dataplane/state/service.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import type { AccessEvent, AccessRecord } from '#dataplane/telemetry/access-log.ts';
import {
  claimsAnything,
  connectionLabels,
  type Reporter,
  type ResponseFlag,
  type TrafficLabelValues,
  type WorkloadFacts,
  withoutClaims,
} from '#dataplane/telemetry/connection-labels.ts';
import type { Series, TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { workloadFacts } from '#dataplane/telemetry/workload-facts.ts';

/** Where access lines go. */
export interface AccessSink {
  /** Is a line of this kind wanted? Asked before its text is made. */
  wants(event: AccessEvent, failed: boolean): boolean;
  write(record: AccessRecord, event: AccessEvent): void;
}

/** What a thread counts and logs with. */
export interface Telemetry {
  readonly metrics: TrafficMetrics;
  readonly access: AccessSink;
}

/** What the labels are made of. */
export interface AccountedFacts {
  readonly reporter: Reporter;
  readonly source: Workload | undefined;
  readonly destination: Workload | undefined;
  /** What the peer says about itself, for a workload that we don't know. */
  readonly claimedSource?: WorkloadFacts | undefined;
  readonly service: Service | undefined;
  /** Proven by mutual TLS; undefined for plaintext. */
  readonly identities?: { readonly source: string; readonly destination: string } | undefined;
  /** A predecessor has counted it as opened already. Default false. */
  readonly countedAsOpened?: boolean;
}

/** Why a connection failed. */
export interface Failure {
  readonly flag: ResponseFlag;
  readonly error: string;
  /** The policy that denied it. */
  readonly policy?: string;
}

/** The part of a connection that is counted and logged, as data. */
export interface AccountingState {
  readonly record: AccessRecord;
  readonly labels: TrafficLabelValues;
  /** The source in the labels is what the peer says about itself. */
  readonly isClaimed: boolean;
  /** Bytes in the direction of the destination, and back, that are in the counters already. */
  readonly countedReceived: number;
  readonly countedSent: number;
}

/**
 * Counts and logs one connection: opened when it is known what it is, bytes as they pass, closed once.
 * "Received" is what goes to the destination and "sent" what comes back, on both proxies; the access
 * record has them as the pod of this node sees them.
 */
export class Accounting {
  readonly record: AccessRecord;
  readonly #telemetry: Telemetry;
  readonly #labels: TrafficLabelValues;
  readonly #isClaimed: boolean;
  readonly #series: Series;
  #countedReceived: number;
  #countedSent: number;
  #finished = false;

  private constructor(telemetry: Telemetry, state: AccountingState) {
    this.#telemetry = telemetry;
    this.record = state.record;
    const { metrics } = telemetry;
    const hasRoom = !state.isClaimed || metrics.hasRoomFor(state.labels);
    this.#labels = hasRoom ? state.labels : withoutClaims(state.labels);
    this.#isClaimed = state.isClaimed && hasRoom;
    this.#series = metrics.series(this.#labels, this.#isClaimed);
    this.#countedReceived = state.countedReceived;
    this.#countedSent = state.countedSent;
  }

  /** A connection whose ends are known: counted as opened. */
  static open(telemetry: Telemetry, record: AccessRecord, facts: AccountedFacts): Accounting {
    const labels = connectionLabels({
      reporter: facts.reporter,
      source: {
        configured: workloadFacts(facts.source),
        claimed: facts.claimedSource,
        identity: facts.identities?.source,
      },
      destination: {
        configured: workloadFacts(facts.destination),
        identity: facts.identities?.destination,
      },
      service: facts.service,
      mutualTls: facts.identities !== undefined,
    });
    const isClaimed = facts.source === undefined && claimsAnything(facts.claimedSource);
    const state = { record, labels, isClaimed, countedReceived: 0, countedSent: 0 };
    const accounting = new Accounting(telemetry, state);
    if (facts.countedAsOpened === true) return accounting;
    accounting.#series.opened++;
    if (telemetry.access.wants('opened', false)) telemetry.access.write(record, 'opened');
    return accounting;
  }

  /** Goes on with a connection of another process; its past is in the counters that came with it. */
  static restore(telemetry: Telemetry, state: AccountingState): Accounting {
    return new Accounting(telemetry, state);
  }

  export(): AccountingState {
    return {
      record: this.record,
      labels: this.#labels,
      isClaimed: this.#isClaimed,
      countedReceived: this.#countedReceived,
      countedSent: this.#countedSent,
    };
  }

  /** Brings the counters up to the connection's totals, and says that it is still there. */
  count(received: number, sent: number): void {
    this.#series.inUse = true;
    this.#series.receivedBytes += received - this.#countedReceived;
    this.#series.sentBytes += sent - this.#countedSent;
    this.#countedReceived = received;
    this.#countedSent = sent;
    const outbound = this.record.direction === 'outbound';
    this.record.bytesSent = outbound ? received : sent;
    this.record.bytesReceived = outbound ? sent : received;
  }

  /** The end, with its reason when it failed. */
  finish(failure?: Failure): void {
    if (this.#finished) return;
    this.#finished = true;
    const { metrics, access } = this.#telemetry;
    if (failure === undefined) {
      this.#series.closed++;
    } else {
      this.record.error = failure.error;
      if (failure.policy !== undefined) this.record.policy = failure.policy;
      metrics.closeFailed(this.#labels, failure.flag, this.#isClaimed);
    }
    if (access.wants('complete', failure !== undefined)) access.write(this.record, 'complete');
  }
}

/** Logs a connection that was turned away before anything but its addresses was known; not counted. */
export function refuseEarly(
  telemetry: Telemetry,
  direction: AccessRecord['direction'],
  ends: { readonly source: SocketAddress; readonly destination: SocketAddress },
  error: string,
): void {
  if (!telemetry.access.wants('refused', true)) return;
  const record: AccessRecord = {
    direction,
    source: { address: formatSocketAddress(ends.source) },
    destination: { address: formatSocketAddress(ends.destination) },
    startMs: Date.now(),
    bytesSent: 0,
    bytesReceived: 0,
    error,
  };
  telemetry.access.write(record, 'refused');
}
