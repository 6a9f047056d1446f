import type { MetricFamily } from '#common/metrics/registry.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import { identityOf } from '#dataplane/state/workload.ts';

import type { ExchangeRecord } from '../exchange/record.ts';

/** The labels of `istio_requests_total`, in the order in which they are written. */
const LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'destination_service',
  'destination_service_name',
  'destination_service_namespace',
  'request_protocol',
  'response_code',
  'grpc_response_status',
  'response_flags',
  'connection_security_policy',
] as const;

/** Joined label values, and how many requests. Plain data. */
export type RequestCount = readonly [labels: string, requests: number];

const SEPARATOR = '\u0000';
const UNKNOWN = 'unknown';
/** What names a service or workload is our own configuration's; the rest of the labels has few values. */
const SERIES_MAX = 10_000;
/** Everything that has no place of its own any more. */
const REST = LABELS.map((label) => (label === 'reporter' ? 'waypoint' : UNKNOWN)).join(SEPARATOR);

/** Counts requests by their labels, until they are taken. */
export class RequestCounts {
  readonly #counts = new Map<string, number>();

  add(record: ExchangeRecord): void {
    this.#add(labelsOf(record), 1);
  }

  /** What was counted since the last call. */
  take(): readonly RequestCount[] {
    const counts = [...this.#counts];
    this.#counts.clear();
    return counts;
  }

  /** Adds what another one has taken. */
  merge(counts: readonly RequestCount[]): void {
    for (const [labels, requests] of counts) this.#add(labels, requests);
  }

  families(): readonly MetricFamily[] {
    return [
      {
        kind: 'counter',
        name: 'istio_requests_total',
        help: 'Requests that have come to their end',
        read: () => [...this.#counts].map(([key, value]) => ({ labels: named(key), value })),
      },
    ];
  }

  #add(labels: string, requests: number): void {
    const before = this.#counts.get(labels);
    if (before === undefined && this.#counts.size >= SERIES_MAX && labels !== REST) {
      this.#add(REST, requests);
    } else this.#counts.set(labels, (before ?? 0) + requests);
  }
}

const namedLabels = new Map<string, Readonly<Record<string, string>>>();

/** The same object for the same labels: its text is made once. */
function named(key: string): Readonly<Record<string, string>> {
  let labels = namedLabels.get(key);
  if (labels === undefined) {
    const values = key.split(SEPARATOR);
    labels = Object.fromEntries(LABELS.map((label, index) => [label, values[index] ?? UNKNOWN]));
    namedLabels.set(key, labels);
  }
  return labels;
}

function labelsOf({ facts, messages, endpoint, status, flag, grpcStatus }: ExchangeRecord): string {
  const service = facts.target.kind === 'service' ? facts.target.service : undefined;
  const grpc = messages !== undefined;
  return [
    'waypoint',
    ...workloadLabels(facts.sourceWorkload, facts.identity),
    ...workloadLabels(
      endpoint?.workload,
      endpoint === undefined ? UNKNOWN : identityOf(endpoint.workload),
    ),
    service?.hostname ?? UNKNOWN,
    service?.name ?? UNKNOWN,
    service?.namespace ?? UNKNOWN,
    grpc ? 'grpc' : 'http',
    String(status),
    grpc ? (/^[0-9]{1,2}$/.exec(grpcStatus ?? '')?.[0] ?? UNKNOWN) : '',
    flag,
    'mutual_tls',
  ].join(SEPARATOR);
}

function workloadLabels(workload: Workload | undefined, principal: string): readonly string[] {
  const service = known(workload?.canonicalName);
  const revision = known(workload?.canonicalRevision);
  const name = known(workload?.workloadName);
  const namespace = known(workload?.namespace);
  return [
    name,
    service,
    revision,
    namespace,
    principal,
    service,
    revision,
    known(workload?.clusterId),
  ];
}

function known(value: string | undefined): string {
  return value === undefined || value === '' ? UNKNOWN : value;
}
