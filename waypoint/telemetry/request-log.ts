import {
  jsonLine,
  type LogEntry,
  type LogFields,
  type LogFormat,
  type LogLevel,
  textLine,
} from '#common/log/format.ts';
import { formatSocketAddress } from '#common/net/address.ts';

import type { ConnectionFacts } from '../exchange/decision.ts';
import type { ExchangeRecord } from '../exchange/record.ts';
import type { TcpRecord } from '../tcp/tcp-forward.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';

/** The scope of these lines in a log filter. */
export const ACCESS_SCOPE = 'access';

/** A line for a request that is over. Whatever a peer chose is quoted: it can neither end the line nor add a field. */
export function requestLine(record: ExchangeRecord, nowMs: number, format: LogFormat): string {
  const { request, decision, status, flag, details, startMs, endMs, responseMs } = record;
  const service =
    record.facts.target.kind === 'service' ? record.facts.target.service.hostname : undefined;
  return line('request complete', requestLevel(record), nowMs, format, {
    ...clientFields(record.facts),
    'dst.service': service,
    method: request.method,
    authority: request.authority,
    path: request.path,
    protocol: request.protocol,
    status,
    ...upstreamFields(record.endpoint),
    bytes_sent: record.responseBytes,
    bytes_recv: record.requestBytes,
    duration: `${Math.round(endMs - startMs)}ms`,
    upstream_duration:
      responseMs === undefined ? undefined : `${Math.round(responseMs - startMs)}ms`,
    attempts: record.attempts > 1 ? record.attempts : undefined,
    grpc_status: record.grpcStatus,
    flags: flag === '-' ? undefined : flag,
    details: details === '' ? undefined : details,
    route: decision.route,
    policy: decision.policy,
  });
}

/** A line for a connection whose bytes were not looked into. */
export function connectionLine(record: TcpRecord, nowMs: number, format: LogFormat): string {
  const { facts, flag, details, startMs, endMs } = record;
  return line('connection complete', flag === '-' ? 'info' : 'error', nowMs, format, {
    ...clientFields(facts),
    'dst.service': facts.target.kind === 'service' ? facts.target.service.hostname : undefined,
    ...upstreamFields(record.endpoint),
    bytes_sent: record.sentBytes,
    bytes_recv: record.receivedBytes,
    duration: `${Math.round(endMs - startMs)}ms`,
    flags: flag === '-' ? undefined : flag,
    details: details === '' ? undefined : details,
  });
}

/** What failed on our side of the answer is an error; what the application says is its own business. */
export function requestLevel({ flag, status }: ExchangeRecord): LogLevel {
  if (flag !== '-' && flag !== 'DC') return 'error';
  return status === 403 ? 'warn' : 'info';
}

function clientFields({
  identity,
  sourceIp,
  sourceWorkload,
  destination,
}: ConnectionFacts): LogFields {
  return {
    'src.addr': sourceIp,
    'src.workload': sourceWorkload?.name,
    'src.namespace': sourceWorkload?.namespace,
    'src.identity': identity,
    'dst.addr': formatSocketAddress(destination),
  };
}

function upstreamFields(endpoint: UpstreamEndpoint | undefined): LogFields {
  return {
    upstream: endpoint === undefined ? undefined : formatSocketAddress(endpoint.address),
    'dst.workload': endpoint?.workload.name,
    'dst.namespace': endpoint?.workload.namespace,
  };
}

// oxlint-disable-next-line max-params -- what every line is made of
function line(
  message: string,
  level: LogLevel,
  timeMs: number,
  format: LogFormat,
  fields: LogFields,
): string {
  const entry: LogEntry = { timeMs, level, scope: ACCESS_SCOPE, spans: [], message, fields };
  return format === 'json' ? jsonLine(entry) : textLine(entry);
}
