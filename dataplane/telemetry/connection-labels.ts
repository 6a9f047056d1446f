/** The labels of the traffic metrics, in the order in which they are written. */
export const TRAFFIC_LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
] as const;

/** Follow the others when at least one side's workload is known. */
export const LOCALITY_LABELS = [
  'source_region',
  'source_zone',
  'destination_region',
  'destination_zone',
] as const;

/** Why a connection failed; `-` when it did not. */
export type ResponseFlag =
  | '-'
  | 'DENY'
  | 'CONNECT'
  | 'TLS_FAILURE'
  | 'H2_HANDSHAKE_FAILURE'
  | 'NETWORK_POLICY'
  | 'IDENTITY_ERROR'
  | 'CERT_REVOKED';

/** Which node tunnel of the connection tells: `source` for outbound ones, `destination` for inbound. */
export type Reporter = 'source' | 'destination';

/**
 * Values in the order of {@link TRAFFIC_LABELS}, with or without those of {@link LOCALITY_LABELS}.
 * Plain data: it moves between processes with its connection.
 */
export type TrafficLabelValues = readonly string[];

/** What is known about a workload, from our own configuration or from what the peer says. */
export interface WorkloadFacts {
  /** The controller's name (a Deployment's, say), not the pod's. */
  readonly workloadName?: string | undefined;
  readonly canonicalName?: string | undefined;
  readonly canonicalRevision?: string | undefined;
  readonly namespace?: string | undefined;
  readonly cluster?: string | undefined;
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
}

export interface SideFacts {
  /** From the configuration: wins as a whole over what the peer claims. */
  readonly configured?: WorkloadFacts | undefined;
  /** From the peer's baggage. */
  readonly claimed?: WorkloadFacts | undefined;
  /** SPIFFE id; counts only when the connection is mutual TLS. */
  readonly identity?: string | undefined;
}

export interface ConnectionFacts {
  readonly reporter: Reporter | 'waypoint';
  readonly source: SideFacts;
  readonly destination: SideFacts;
  readonly service?:
    | { readonly hostname: string; readonly name: string; readonly namespace: string }
    | undefined;
  readonly mutualTls: boolean;
}

/** The value of a label that nothing is known for. */
export const UNKNOWN = 'unknown';
// A DNS name has at most 253 characters, and names of workloads, services and clusters are such.
const NAME_LENGTH_MAX = 253;
// A SPIFFE id may have 2,048, but one of a Kubernetes service account stays below 700.
const PRINCIPAL_LENGTH_MAX = 1_024;

/** The label values of a connection that has not failed (its flag is `-`). */
export function connectionLabels(facts: ConnectionFacts): TrafficLabelValues {
  const source = facts.source.configured ?? facts.source.claimed;
  const destination = facts.destination.configured ?? facts.destination.claimed;
  const values = [
    facts.reporter,
    ...workloadLabels(source, principal(facts.source, facts.mutualTls)),
    labelValue(facts.service?.hostname),
    labelValue(facts.service?.namespace),
    labelValue(facts.service?.name),
    ...workloadLabels(destination, principal(facts.destination, facts.mutualTls)),
    'tcp',
    '-',
    facts.mutualTls ? 'mutual_tls' : UNKNOWN,
  ];
  if (source === undefined && destination === undefined) return values;
  values.push(labelValue(source?.region), labelValue(source?.zone));
  values.push(labelValue(destination?.region), labelValue(destination?.zone));
  return values;
}

/** The same connection with the reason why it failed. */
export function withResponseFlag(values: TrafficLabelValues, flag: string): TrafficLabelValues {
  return values.with(FLAG_INDEX, flag);
}

/** The same connection without what its peer claims about itself. What is proven stays. */
export function withoutClaims(values: TrafficLabelValues): TrafficLabelValues {
  return values.map((value, i) => (CLAIMABLE.has(i) ? UNKNOWN : value));
}

/** The peer's proven identity, if it has one; `unknown` otherwise. */
export function sourcePrincipal(values: TrafficLabelValues): string {
  return values[SOURCE_PRINCIPAL_INDEX] ?? UNKNOWN;
}

/** Whether a peer says anything about itself that would become a label. */
export function claimsAnything(claimed: WorkloadFacts | undefined): boolean {
  return claimed !== undefined && Object.values(claimed).some((value) => value !== undefined);
}

/** Whether these are the labels of connections that failed. */
export function isFailure(values: TrafficLabelValues): boolean {
  return values[FLAG_INDEX] !== '-';
}

/**
 * What remains of the labels when there are too many different ones: those with few possible values.
 */
export function coarseLabels(values: TrafficLabelValues): TrafficLabelValues {
  const kept: ReadonlySet<string> = COARSE;
  return TRAFFIC_LABELS.map((name, i) => (kept.has(name) ? (values[i] ?? UNKNOWN) : UNKNOWN));
}

/** Names for values, as an exposition wants them. */
export function namedLabels(values: TrafficLabelValues): Readonly<Record<string, string>> {
  const named: Record<string, string> = {};
  values.forEach((value, i) => {
    const name = ALL_LABELS[i];
    if (name !== undefined) named[name] = value;
  });
  return named;
}

const ALL_LABELS: readonly string[] = [...TRAFFIC_LABELS, ...LOCALITY_LABELS];
const FLAG_INDEX = TRAFFIC_LABELS.indexOf('response_flags');
const SOURCE_PRINCIPAL_INDEX = TRAFFIC_LABELS.indexOf('source_principal');
/** A peer can only claim to be some source, and its principal is proven. */
const CLAIMABLE: ReadonlySet<number> = new Set(
  ALL_LABELS.flatMap((name, i) =>
    name.startsWith('source_') && i !== SOURCE_PRINCIPAL_INDEX ? [i] : [],
  ),
);
const COARSE: ReadonlySet<string> = new Set([
  'reporter',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
]);

/** workload, canonical service, canonical revision, namespace, principal, app, version, cluster */
export function workloadLabels(
  workload: WorkloadFacts | undefined,
  provenAs: string,
): readonly string[] {
  const service = labelValue(workload?.canonicalName);
  const revision = labelValue(workload?.canonicalRevision);
  return [
    labelValue(workload?.workloadName),
    service,
    revision,
    labelValue(workload?.namespace),
    provenAs,
    service,
    revision,
    labelValue(workload?.cluster),
  ];
}

function principal(side: SideFacts, mutualTls: boolean): string {
  return mutualTls ? principalLabel(side.identity) : UNKNOWN;
}

/** A proven identity. */
export function principalLabel(identity: string | undefined): string {
  return labelValue(identity, PRINCIPAL_LENGTH_MAX);
}

/** Bounded, and without characters that would break a line or a key: a peer may have chosen it. */
export function labelValue(text: string | undefined, lengthMax: number = NAME_LENGTH_MAX): string {
  if (text === undefined || text === '') return UNKNOWN;
  if (text.length <= lengthMax && /^[ -~]*$/.test(text)) return text;
  return text.slice(0, lengthMax).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '_');
}
