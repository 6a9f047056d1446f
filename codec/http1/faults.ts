/**
 * Why a message is refused, each with what it says. A fault ends the connection: where the next message would
 * begin is not known, or not to be trusted. The names are stable: they are counted and logged.
 */
export const HTTP1_FAULTS = {
  // The start line
  malformedRequestLine: 'The request line is not "method target HTTP/1.1"',
  malformedStatusLine: 'The status line is not "HTTP/1.1 status reason"',
  invalidMethod: 'The method is not a token',
  invalidTarget: 'The request target holds a byte or has a form that it must not have',
  unsupportedVersion: 'The version is not HTTP/1.1 or HTTP/1.0',
  // Lines and fields
  bareLineFeed: 'A line ends with LF alone',
  bareCarriageReturn: 'A CR is not followed by LF',
  nulByte: 'A line holds a NUL',
  obsoleteFold: 'A field line begins with a blank',
  whitespaceBeforeColon: 'A blank stands between field name and colon',
  invalidFieldName: 'A field name is empty or not a token',
  invalidFieldValue: 'A field value holds a control character',
  // Sizes
  headTooLarge: 'The head has too many bytes',
  tooManyFields: 'The head has too many fields',
  trailersTooLarge: 'The trailers have too many bytes',
  // Framing
  lengthAndTransferEncoding: 'Content-Length and Transfer-Encoding are both there',
  severalContentLengths: 'Content-Length is there more than once',
  invalidContentLength: 'Content-Length is not a decimal number below 10^15',
  severalTransferEncodings: 'Transfer-Encoding is there more than once',
  unsupportedTransferEncoding: 'Transfer-Encoding is not "chunked" alone',
  transferEncodingInHttp10: 'Transfer-Encoding is there in HTTP/1.0',
  invalidChunkSize: 'A chunk size is not a hexadecimal number directly before CRLF or ";"',
  chunkTooLarge: 'A chunk size is above the limit',
  chunkExtensionsTooLarge: 'Chunk extensions have too many bytes',
  invalidChunkExtension: 'A chunk extension holds a control character',
  invalidChunkEnd: 'The data of a chunk is not followed by CRLF',
  forbiddenTrailer: 'A trailer field says how the message is framed or routed',
  contentInConnect: 'A CONNECT has content',
  // Meaning
  missingHost: 'Host is missing in an HTTP/1.1 request',
  severalHosts: 'Host is there more than once',
  invalidHost: 'Host is not a host with an optional port',
  hostMismatch: 'Host differs from the host in the request target',
  protectedFieldNominated: 'Connection names a field that is not its to remove',
  tooManyConnectionOptions: 'Connection has too many options',
  unsupportedExpectation: 'Expect is not "100-continue"',
  // Responses
  tooManyInterimResponses: 'There are too many interim responses before the final one',
  unsolicitedResponse: 'Bytes come from a server that was asked nothing',
  unexpectedUpgrade: 'The server switches protocols without having been asked to',
  // Ends
  truncatedHead: 'The connection ends inside a head',
  truncatedBody: 'The connection ends inside a body',
  noResponse: 'The connection ends before a response',
} as const;

export type Http1Fault = keyof typeof HTTP1_FAULTS;

/** The status with which a server answers a request with this fault, before it closes. */
export function faultStatus(fault: Http1Fault): number {
  return STATUSES.get(fault) ?? 400;
}

const STATUSES: ReadonlyMap<Http1Fault, number> = new Map<Http1Fault, number>([
  ['headTooLarge', 431],
  ['tooManyFields', 431],
  ['trailersTooLarge', 431],
  ['unsupportedVersion', 505],
  ['unsupportedExpectation', 417],
]);
