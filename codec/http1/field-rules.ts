import { FieldId, isConnectionField } from './field-id.ts';

/**
 * End-to-end fields that say who asks whom for what. Connection may not name them: a client that has them removed
 * on the way could make two servers see two requests (RFC 9110 section 7.6.1). And as trailers they come too late.
 */
export function isProtected(id: number): boolean {
  return PROTECTED.has(id);
}

/** Trailers that say how the message is framed or routed: whoever merges them into the head is led astray. */
export function isRefusedTrailer(id: number): boolean {
  return id === FieldId.contentLength || id === FieldId.transferEncoding || id === FieldId.host;
}

/** May the field stand among trailers? No controls, conditions and credentials (RFC 9110 section 6.5.1). */
export function isTrailerField(id: number): boolean {
  return !(
    isRefusedTrailer(id) ||
    isConnectionField(id) ||
    PROTECTED.has(id) ||
    NO_TRAILERS.has(id)
  );
}

const PROTECTED: ReadonlySet<number> = new Set<number>([
  FieldId.host,
  FieldId.contentLength,
  FieldId.contentType,
  FieldId.contentEncoding,
  FieldId.contentRange,
  FieldId.authorization,
  FieldId.cookie,
  FieldId.setCookie,
  FieldId.cacheControl,
  FieldId.expect,
  FieldId.forwarded,
  FieldId.xForwardedFor,
  FieldId.xForwardedHost,
  FieldId.xForwardedProto,
  FieldId.xRequestId,
  FieldId.traceparent,
  FieldId.tracestate,
  FieldId.baggage,
]);

const NO_TRAILERS: ReadonlySet<number> = new Set<number>([
  FieldId.trailer,
  FieldId.maxForwards,
  FieldId.range,
  FieldId.location,
  FieldId.proxyAuthenticate,
  FieldId.proxyAuthorization,
  FieldId.wwwAuthenticate,
]);
