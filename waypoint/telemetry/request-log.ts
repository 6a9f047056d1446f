import { formatTime, type LogFormat, type LogLevel, quote } from '#common/log/format.ts';
import { formatSocketAddress } from '#common/net/address.ts';
import { parseTraceparent, TRACEPARENT_HEADER } from '#hbone/headers.ts';

import type { ConnectionFacts, Decision } from '../exchange/decision.ts';
import type { ExchangeRecord } from '../exchange/record.ts';
import type { RequestMessage } from '../request/head.ts';
import type { TcpRecord } from '../tcp/tcp-forward.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';

/** The scope of these lines in a log filter. */
export const ACCESS_SCOPE = 'access';

/**
 * A line for a request that is over, without its newline. Fields that are unknown are left out. Whatever a peer chose is
 * quoted, and cut when it is long: it can neither end the line nor add a field. No other header is written than those
 * that tell one request from another: they may hold secrets.
 */
export function requestLine(record: ExchangeRecord, nowMs: number, format: LogFormat): string {
  const { request, decision, flag, details, startMs, responseMs, grpcStatus, attempts } = record;
  const keys = KEYS[format];
  const durationMs = Math.round(record.endMs - startMs);
  let line = `${beginning(format, requestLevel(record), nowMs, 'request complete')}${clientFields(record.facts, format)}${
    keys.method
  }${quote(request.method)}${keys.authority}${quote(request.authority)}${keys.path}${quote(request.path)}${
    keys.protocol
  }"${request.protocol}"${keys.status}${record.status}${upstreamFields(record.endpoint, format)}${
    keys.bytes_sent
  }${record.responseBytes}${keys.bytes_recv}${record.requestBytes}${keys.duration}"${durationMs}ms"`;
  if (responseMs !== undefined) {
    line += `${keys.upstream_duration}"${Math.round(responseMs - startMs)}ms"`;
  }
  if (attempts > 1) line += keys.attempts + attempts;
  if (grpcStatus !== undefined) line += keys.grpc_status + quote(grpcStatus);
  if (flag !== '-') line += keys.flags + quote(flag);
  if (details !== '') line += keys.details + quote(details);
  if (decision.route !== undefined) line += keys.route + quote(decision.route);
  if (decision.policy !== undefined) line += keys.policy + quote(decision.policy);
  const requestId = requestIdOf(request, decision);
  if (requestId !== undefined) line += keys.request_id + quote(requestId);
  const traceId = traceIdOf(request);
  if (traceId !== undefined) line += `${keys.trace_id}"${traceId}"`;
  const userAgent = request.header('user-agent');
  if (userAgent !== undefined) line += keys.user_agent + quote(userAgent);
  const forwardedFor = request.header('x-forwarded-for');
  if (forwardedFor !== undefined) line += keys.forwarded_for + quote(forwardedFor);
  return format === 'json' ? `${line}}` : line;
}

/** A line for a connection whose bytes were not looked into. */
export function connectionLine(record: TcpRecord, nowMs: number, format: LogFormat): string {
  const { flag, details, startMs, endMs } = record;
  const keys = KEYS[format];
  const level = flag === '-' ? 'info' : 'error';
  let line = beginning(format, level, nowMs, 'connection complete');
  line += clientFields(record.facts, format) + upstreamFields(record.endpoint, format);
  line += keys.bytes_sent + record.sentBytes + keys.bytes_recv + record.receivedBytes;
  line += `${keys.duration}"${Math.round(endMs - startMs)}ms"`;
  if (flag !== '-') line += keys.flags + quote(flag);
  if (details !== '') line += keys.details + quote(details);
  return format === 'json' ? `${line}}` : line;
}

/** What failed on our side of the answer is an error; what the application says is its own business. */
export function requestLevel({ flag, status }: ExchangeRecord): LogLevel {
  if (flag !== '-' && flag !== 'DC') return 'error';
  return status === 403 ? 'warn' : 'info';
}

/** The client's, or the one that we have sent on in its place. */
function requestIdOf(request: RequestMessage, decision: Decision): string | undefined {
  const given = request.header(REQUEST_ID_HEADER);
  if (given !== undefined || decision.kind !== 'forward') return given;
  return decision.requestPlan.extra?.find(([name]) => name === REQUEST_ID_HEADER)?.[1];
}

const REQUEST_ID_HEADER = 'x-request-id';

/** Of the trace that the request belongs to: it goes on as it came, whatever it is. */
function traceIdOf(request: RequestMessage): string | undefined {
  const given = request.header(TRACEPARENT_HEADER);
  if (given === undefined || parseTraceparent(given) === undefined) return undefined;
  return given.slice(3, 35);
}

// --- Fields

const NAMES = [
  'src.addr',
  'src.workload',
  'src.namespace',
  'src.identity',
  'dst.addr',
  'dst.service',
  'method',
  'authority',
  'path',
  'protocol',
  'status',
  'upstream',
  'dst.workload',
  'dst.namespace',
  'bytes_sent',
  'bytes_recv',
  'duration',
  'upstream_duration',
  'attempts',
  'grpc_status',
  'flags',
  'details',
  'route',
  'policy',
  'request_id',
  'trace_id',
  'user_agent',
  'forwarded_for',
] as const;
type Name = (typeof NAMES)[number];

/** What stands before the value of a field. */
const KEYS: Readonly<Record<LogFormat, Readonly<Record<Name, string>>>> = {
  text: Object.fromEntries(NAMES.map((name) => [name, ` ${name}=`])) as Record<Name, string>,
  json: Object.fromEntries(NAMES.map((name) => [name, `,"${name}":`])) as Record<Name, string>,
};

// oxlint-disable-next-line max-params -- what every line begins with
function beginning(format: LogFormat, level: LogLevel, nowMs: number, message: string): string {
  return format === 'json'
    ? `{"level":"${level}","time":"${formatTime(nowMs)}","scope":"${ACCESS_SCOPE}","message":"${message}"`
    : `${formatTime(nowMs)}\t${level}\t${ACCESS_SCOPE}\t${message}\t`;
}

// Made once for each connection and each endpoint: they are half of a line.
const clients = { text: new WeakMap(), json: new WeakMap() } satisfies Made<ConnectionFacts>;
const upstreams = { text: new WeakMap(), json: new WeakMap() } satisfies Made<UpstreamEndpoint>;
type Made<Of extends object> = Readonly<Record<LogFormat, WeakMap<Of, string>>>;

function clientFields(facts: ConnectionFacts, format: LogFormat): string {
  const made: Made<ConnectionFacts>[LogFormat] = clients[format];
  let text = made.get(facts);
  if (text === undefined) {
    const { identity, sourceIp, sourceWorkload, destination, target } = facts;
    text = fields(format, [
      ['src.addr', sourceIp],
      ['src.workload', sourceWorkload?.name],
      ['src.namespace', sourceWorkload?.namespace],
      ['src.identity', identity],
      ['dst.addr', formatSocketAddress(destination)],
      ['dst.service', target.kind === 'service' ? target.service.hostname : undefined],
    ]);
    // They are the first ones, behind a tab.
    if (format === 'text') text = text.slice(1);
    made.set(facts, text);
  }
  return text;
}

function upstreamFields(endpoint: UpstreamEndpoint | undefined, format: LogFormat): string {
  if (endpoint === undefined) return '';
  const made: Made<UpstreamEndpoint>[LogFormat] = upstreams[format];
  let text = made.get(endpoint);
  if (text === undefined) {
    text = fields(format, [
      ['upstream', formatSocketAddress(endpoint.address)],
      ['dst.workload', endpoint.workload.name],
      ['dst.namespace', endpoint.workload.namespace],
    ]);
    made.set(endpoint, text);
  }
  return text;
}

function fields(
  format: LogFormat,
  given: readonly (readonly [name: Name, value: string | undefined])[],
): string {
  return given
    .map(([name, value]) => (value === undefined ? '' : KEYS[format][name] + quote(value)))
    .join('');
}
