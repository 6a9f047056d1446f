import type { Header } from '#codec/http2/field.ts';

import type { ByteOutput } from './byte-output.ts';
import { dropsField, type HeadEdits } from './edits.ts';
import { FieldId } from './field-id.ts';
import type { BodyFraming, Head } from './head.ts';
import { writeHeaders } from './write-headers.ts';

/** What is to be different in a forwarded head. */
export interface RequestPlan {
  /** Host and port to ask for instead of the client's. */
  readonly authority?: string | undefined;
  /** Path and query instead of the client's. */
  readonly path?: string | undefined;
  readonly edits?: HeadEdits | undefined;
  /** Of this one request: ids, traces. Lower-case names. */
  readonly extra?: readonly Header[] | undefined;
}

export interface ResponsePlan {
  readonly edits?: HeadEdits | undefined;
  /** Of this one response. Lower-case names. */
  readonly extra?: readonly Header[] | undefined;
  /** The connection ends after this response, though it could go on. */
  readonly close?: boolean | undefined;
}

/** What the codec itself decides about an outgoing head. */
export interface Outgoing {
  readonly framing: BodyFraming;
  /** Options of the Connection field. */
  readonly connection: string;
  /** The protocol of the Upgrade field; empty for none. */
  readonly upgrade: string;
  /** Send "TE: trailers". */
  readonly trailers: boolean;
  /** Content-length as in the source, 0, or none. */
  readonly length: 'keep' | 'zero' | 'drop';
}

export const NO_PLAN: RequestPlan & ResponsePlan = {};

/**
 * Writes a request again, in origin form (CONNECT: authority form), as HTTP/1.1. What is not changed is copied as
 * it came. False, and nothing written, when there is no room.
 */
export function writeRequestHead(
  output: ByteOutput,
  head: Head,
  plan: RequestPlan,
  outgoing: Outgoing,
): boolean {
  const begin = output.end;
  writeRequestLine(output, head, plan);
  const hasHost = head.first[FieldId.host] !== -1;
  const newHost = plan.authority !== undefined || !hasHost;
  if (newHost) output.field('host', plan.authority ?? head.authority);
  writeFields(output, head, plan.edits, outgoing.length === 'keep', newHost);
  finishHead(output, plan, outgoing);
  return output.undo(begin);
}

/** Writes a response again. False, and nothing written, when there is no room. */
export function writeResponseHead(
  output: ByteOutput,
  head: Head,
  plan: ResponsePlan,
  outgoing: Outgoing,
): boolean {
  const begin = output.end;
  if (head.minorVersion === 1) output.copy(head.bytes, head.start, head.fieldsStart);
  else {
    output.text('HTTP/1.1');
    output.copy(head.bytes, head.start + 8, head.fieldsStart);
  }
  writeFields(output, head, plan.edits, outgoing.length === 'keep');
  finishHead(output, plan, outgoing);
  return output.undo(begin);
}

/** Copies the lines of all fields that go on, neighbours in one piece. */
// oxlint-disable-next-line max-params -- once per message: an object would be an allocation each
export function writeFields(
  output: ByteOutput,
  head: Head,
  edits: HeadEdits | undefined,
  keepLength: boolean,
  dropHost = false,
): void {
  const { hidden, ids, count } = head;
  const drops = edits !== undefined && edits.dropped.length > 0 ? edits : undefined;
  let from = -1;
  for (let i = 0; i < count; i++) {
    const id = ids[i];
    const goes =
      hidden[i] === 1 ||
      (id === FieldId.contentLength && !keepLength) ||
      (id === FieldId.host && dropHost) ||
      (drops !== undefined && dropsField(drops, head, i));
    if (!goes) {
      if (from < 0) from = head.lineStart(i);
    } else if (from >= 0) {
      output.copy(head.bytes, from, head.lineStart(i));
      from = -1;
    }
  }
  if (from >= 0) output.copy(head.bytes, from, head.fieldsEnd);
}

/** What both kinds of head end with: added fields, those of this connection, the empty line. */
export function finishHead(
  output: ByteOutput,
  plan: RequestPlan | ResponsePlan,
  outgoing: Outgoing,
): void {
  // These were checked when they were prepared.
  if (plan.edits !== undefined)
    for (const [name, value] of plan.edits.appended) output.field(name, value);
  if (plan.extra !== undefined) writeHeaders(output, plan.extra, undefined, false);
  if (outgoing.length === 'zero') output.text('content-length: 0\r\n');
  if (outgoing.framing === 'chunked') output.text('transfer-encoding: chunked\r\n');
  if (outgoing.trailers) output.text('te: trailers\r\n');
  if (outgoing.upgrade !== '') output.field('upgrade', outgoing.upgrade);
  if (outgoing.connection !== '') output.field('connection', outgoing.connection);
  output.text('\r\n');
}

function writeRequestLine(output: ByteOutput, head: Head, plan: RequestPlan): void {
  const asItCame = plan.path === undefined && head.form !== 'absolute' && head.minorVersion === 1;
  if (asItCame) return output.copy(head.bytes, head.start, head.fieldsStart);
  output.text(head.method);
  output.text(' ');
  output.text(plan.path ?? (head.form === 'authority' ? head.authority : head.path));
  output.text(' HTTP/1.1\r\n');
}
