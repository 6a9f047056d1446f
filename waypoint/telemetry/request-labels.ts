import type { Service } from '#dataplane/state/service.ts';
import { identityOf, type Workload } from '#dataplane/state/workload.ts';
import {
  labelValue,
  principalLabel,
  UNKNOWN,
  workloadLabels,
} from '#dataplane/telemetry/connection-labels.ts';
import { workloadFacts } from '#dataplane/telemetry/workload-facts.ts';

/** The labels of the request metrics, in the order in which they are written. */
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

/** Who asked whom: what the labels of many requests have in common. */
export interface RequestEnds {
  readonly source: Workload | undefined;
  /** Of the source, proven by its tunnel's certificate. */
  readonly identity: string;
  /** That the request was sent to, or would have been. */
  readonly service: Service | undefined;
  /** Undefined: it was sent to nobody. */
  readonly destination: Workload | undefined;
}

/** What came of it. */
export interface RequestOutcome {
  /** 0: nothing was answered. */
  readonly status: number;
  readonly flag: string;
  /** Of a gRPC call ({@link grpcStatusLabel}); undefined for plain HTTP. */
  readonly grpcStatus: string | undefined;
}

/** Joins label values; none of them has it. */
const SEPARATOR = '\u0000';

/** The label values in one text: the same for the same labels. */
export function requestLabels(
  { source, identity, service, destination }: RequestEnds,
  outcome: RequestOutcome,
): string {
  // Whoever is reached without a tunnel has proven nothing.
  const proven = destination?.protocol === 'HBONE' ? identityOf(destination) : undefined;
  return [
    'waypoint',
    ...workloadLabels(workloadFacts(source), principalLabel(identity)),
    ...workloadLabels(workloadFacts(destination), principalLabel(proven)),
    labelValue(service?.hostname),
    labelValue(service?.name),
    labelValue(service?.namespace),
    ...outcomeLabels(outcome),
  ].join(SEPARATOR);
}

const OUTCOME_AT = LABELS.indexOf('request_protocol');
const OUTCOME = LABELS.slice(OUTCOME_AT);
const NOBODY = LABELS.slice(1, OUTCOME_AT).map(() => UNKNOWN);

/** What is left of the labels when there are too many different ones: the outcome. */
export function coarseLabels(joined: string): string {
  return ['waypoint', ...NOBODY, ...joined.split(SEPARATOR).slice(OUTCOME_AT)].join(SEPARATOR);
}

/** When even those are too many. */
export const COARSEST_LABELS: string = [
  'waypoint',
  ...NOBODY,
  ...OUTCOME.map((label) => (label === 'connection_security_policy' ? 'mutual_tls' : UNKNOWN)),
].join(SEPARATOR);

/** The labels with their names, as an exposition wants them. */
export function namedRequestLabels(joined: string): Readonly<Record<string, string>> {
  const values = joined.split(SEPARATOR);
  return Object.fromEntries(LABELS.map((label, index) => [label, values[index] ?? UNKNOWN]));
}

/** A server may write anything there. */
export function grpcStatusLabel(text: string | undefined): string {
  return text !== undefined && /^[0-9]{1,2}$/.test(text) ? text : UNKNOWN;
}

function outcomeLabels({ status, flag, grpcStatus }: RequestOutcome): readonly string[] {
  const protocol = grpcStatus === undefined ? 'http' : 'grpc';
  return [protocol, String(status), grpcStatus ?? '', flag, 'mutual_tls'];
}
