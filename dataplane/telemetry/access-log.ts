import type { LogFormat, LogLevel } from '#common/log/format.ts';
import { bareOrQuoted, formatTime, quote } from '#common/log/format.ts';

/** The scope of access lines, for log filters: `access=debug` shows opened connections too. */
export const ACCESS_SCOPE = 'access';

/** One end of a connection, as far as it is known. Identities only when proven by mutual TLS. */
export interface AccessPeer {
  /** `ip:port` of the socket. */
  address: string;
  workload?: string | undefined;
  namespace?: string | undefined;
  /** SPIFFE id. */
  identity?: string | undefined;
  cluster?: string | undefined;
}

export interface AccessDestination extends AccessPeer {
  /** The authority of the CONNECT request, when the connection goes through a tunnel. */
  hboneAddress?: string | undefined;
  /** Host name of the service. */
  service?: string | undefined;
}

/**
 * What the access log says about one connection. Plain data: it moves between processes with the
 * connection.
 */
export interface AccessRecord {
  readonly direction: 'inbound' | 'outbound';
  readonly source: AccessPeer;
  readonly destination: AccessDestination;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  /**
   * Bytes as the pod of this node sees them. Outbound: sent is what its application wrote to the
   * destination. Inbound: sent is what its application answered.
   */
  bytesSent: number;
  bytesReceived: number;
  /** Why the connection ended badly. */
  error?: string | undefined;
  /** `namespace/name` of the policy that refused the connection. */
  policy?: string | undefined;
  /** Who reset the connection, when it did not end in order. Not an error: clients do that all day. */
  closedBy?: string | undefined;
}

/** `refused`: turned away before anything but its addresses was known. */
export type AccessEvent = 'opened' | 'complete' | 'refused';

export function accessLevel(event: AccessEvent, record: AccessRecord): LogLevel {
  if (event === 'opened') return 'debug';
  if (event === 'refused') return 'warn';
  return record.error === undefined ? 'info' : 'error';
}

/**
 * One access line without its newline, in the field order that tools for this log expect. Fields
 * that are unknown are left out; what is ours (`policy`) comes last. No byte that a peer chose can
 * end the line or add a field.
 */
export function accessLine(
  record: AccessRecord,
  event: AccessEvent,
  nowMs: number,
  format: LogFormat,
): string {
  return format === 'json'
    ? jsonAccessLine(record, event, nowMs)
    : textAccessLine(record, event, nowMs);
}

const MESSAGES: Readonly<Record<AccessEvent, string>> = {
  opened: 'connection opened',
  complete: 'connection complete',
  refused: 'connection failed',
};

function textAccessLine(record: AccessRecord, event: AccessEvent, nowMs: number): string {
  const { source, destination } = record;
  let line = `${formatTime(nowMs)}\t${accessLevel(event, record)}\t${ACCESS_SCOPE}\t${MESSAGES[event]}\tsrc.addr=${bareOrQuoted(source.address)}`;
  if (event === 'refused') {
    line += ` dst.addr=${bareOrQuoted(destination.address)} direction="${record.direction}"`;
  } else {
    line += text(' src.workload=', source.workload) + text(' src.namespace=', source.namespace);
    line += text(' src.identity=', source.identity) + text(' src.cluster=', source.cluster);
    line += ` dst.addr=${bareOrQuoted(destination.address)}`;
    if (destination.hboneAddress) {
      line += ` dst.hbone_addr=${bareOrQuoted(destination.hboneAddress)}`;
    }
    line += text(' dst.service=', destination.service);
    line += text(' dst.workload=', destination.workload);
    line += text(' dst.namespace=', destination.namespace);
    line += text(' dst.identity=', destination.identity);
    line += text(' dst.cluster=', destination.cluster);
    line += ` direction="${record.direction}"`;
    if (event === 'complete') {
      line += ` bytes_sent=${record.bytesSent} bytes_recv=${record.bytesReceived} duration="${durationMs(record, nowMs)}ms"`;
    }
  }
  line += text(' error=', record.error) + text(' policy=', record.policy);
  return line + text(' closed_by=', record.closedBy);
}

function jsonAccessLine(record: AccessRecord, event: AccessEvent, nowMs: number): string {
  const { source, destination } = record;
  let line = `{"level":"${accessLevel(event, record)}","time":"${formatTime(nowMs)}","scope":"${ACCESS_SCOPE}","message":"${MESSAGES[event]}","src.addr":${quote(source.address)}`;
  if (event === 'refused') {
    line += `,"dst.addr":${quote(destination.address)},"direction":"${record.direction}"`;
  } else {
    line += text(',"src.workload":', source.workload);
    line += text(',"src.namespace":', source.namespace);
    line += text(',"src.identity":', source.identity) + text(',"src.cluster":', source.cluster);
    line += `,"dst.addr":${quote(destination.address)}`;
    line += text(',"dst.hbone_addr":', destination.hboneAddress);
    line += text(',"dst.service":', destination.service);
    line += text(',"dst.workload":', destination.workload);
    line += text(',"dst.namespace":', destination.namespace);
    line += text(',"dst.identity":', destination.identity);
    line += text(',"dst.cluster":', destination.cluster);
    line += `,"direction":"${record.direction}"`;
    if (event === 'complete') {
      line += `,"bytes_sent":${record.bytesSent},"bytes_recv":${record.bytesReceived},"duration":"${durationMs(record, nowMs)}ms"`;
    }
  }
  line += text(',"error":', record.error) + text(',"policy":', record.policy);
  return `${line}${text(',"closed_by":', record.closedBy)}}`;
}

function text(label: string, value: string | undefined): string {
  return value === undefined || value === '' ? '' : label + quote(value);
}

function durationMs(record: AccessRecord, nowMs: number): number {
  // The wall clock may have been set back meanwhile.
  return Math.max(0, Math.floor(nowMs - record.startMs));
}
