import type { Header } from '#codec/http2/field.ts';

import { dropsField } from './edits.ts';
import { FieldId } from './field-id.ts';
import type { Head } from './head.ts';
import { NO_PLAN, type RequestPlan, type ResponsePlan } from './write.ts';

/**
 * A request of HTTP/1 as the header list of HTTP/2 (RFC 9113 section 8.3.1): Host becomes `:authority`, fields of the
 * connection end here. `scheme`: of the connection, unless the target says it.
 */
export function requestToHttp2(head: Head, scheme: string, plan: RequestPlan = NO_PLAN): Header[] {
  const headers: Header[] = [[':method', head.method]];
  const authority = plan.authority ?? head.authority;
  if (head.form !== 'authority') {
    headers.push([':scheme', head.scheme === '' ? scheme : head.scheme]);
    headers.push([':path', plan.path ?? head.path]);
  }
  if (authority !== '') headers.push([':authority', authority]);
  addFields(headers, head, plan);
  if (head.acceptsTrailers) headers.push(['te', 'trailers']);
  return headers;
}

/** A response of HTTP/1, interim or final, as the header list of HTTP/2. 101 has no meaning there. */
export function responseToHttp2(head: Head, plan: ResponsePlan = NO_PLAN): Header[] {
  const headers: Header[] = [[':status', String(head.status)]];
  addFields(headers, head, plan);
  return headers;
}

/** Trailers of HTTP/1 as those of HTTP/2. */
export function trailersToHttp2(trailers: Head): Header[] {
  const headers: Header[] = [];
  addFields(headers, trailers, NO_PLAN);
  return headers;
}

function addFields(headers: Header[], head: Head, plan: RequestPlan | ResponsePlan): void {
  const { edits, extra } = plan;
  for (let i = 0; i < head.count; i++) {
    const id = head.ids[i];
    if (head.hidden[i] === 1 || id === FieldId.host) continue;
    // Where there can be no content-length, HTTP/2 would hold us to it.
    if (id === FieldId.contentLength && hasNoLength(head)) continue;
    if (edits !== undefined && dropsField(edits, head, i)) continue;
    headers.push([head.nameAt(i), head.valueAt(i)]);
  }
  if (edits !== undefined) headers.push(...edits.appended);
  if (extra !== undefined) headers.push(...extra);
}

function hasNoLength(head: Head): boolean {
  return head.kind === 'response' && (head.status < 200 || head.status === 204);
}
