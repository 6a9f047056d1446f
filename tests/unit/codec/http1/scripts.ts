import * as fc from 'fast-check';

/** Fields that change nothing about the end of a message. */
const field: fc.Arbitrary<string> = fc.constantFrom(
  'Accept: */*',
  'X-Empty:',
  'x-blank: \t ',
  'User-Agent: curl/8 (x; y)',
  'Cookie: a=b; c="d"',
  'cookie: e=f',
  'Connection: x-hop, keep-alive',
  'X-Hop: 1',
  'TE: trailers',
  'Accept-Language: \xe9',
);

/** What is wrong in a line, or in a head as a whole. */
const wrong: fc.Arbitrary<string> = fc.constantFrom(
  'a : b',
  ' fold',
  'a: \0',
  'a\nb: c',
  'a: b\rc',
  'Content-Length: 5',
  'Content-Length: x',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip',
  'Host: b',
  'Connection: host',
  `x: ${'y'.repeat(300)}`,
);

const text: fc.Arbitrary<string> = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'));

const chunk: fc.Arbitrary<string> = fc
  .tuple(text, fc.constantFrom('', ';a', ';a=b;c="d e"'), fc.constantFrom('', '0', '000'))
  .map(([data, extension, zeros]) =>
    data === '' ? '' : `${zeros}${data.length.toString(16)}${extension}\r\n${data}\r\n`,
  );

const chunks: fc.Arbitrary<string> = fc
  .tuple(fc.array(chunk, { maxLength: 4 }), fc.array(field, { maxLength: 2 }))
  .map(([parts, trailers]) => `${parts.join('')}0\r\n${[...trailers, '', ''].join('\r\n')}`);

/** Framing fields with the body that they announce. */
const body: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  fc.constant(['', ''] as const),
  text.map((data) => [`Content-Length: ${data.length}\r\n`, data] as const),
  chunks.map((data) => ['Transfer-Encoding: Chunked\r\n', data] as const),
);

const startLine: fc.Arbitrary<string> = fc.constantFrom(
  'GET / HTTP/1.1\r\nHost: a',
  'POST /a/b?c=d HTTP/1.1\r\nhost: a.example:80',
  'GET http://a/ HTTP/1.1\r\nHost: A',
  'GET / HTTP/1.0\r\nConnection: keep-alive',
  'HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket',
  'OPTIONS * HTTP/1.1\r\nHost: a',
);

const request: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom('', '', '', '\r\n', '\r\n\r\n'),
    startLine,
    fc.array(field, { maxLength: 4 }),
    fc.option(wrong, { freq: 12 }),
    body,
  )
  .map(([before, start, fields, bad, [framing, data]]) => {
    const some = [start, ...fields, ...(bad === null ? [] : [bad])].join('\r\n');
    return `${before}${some}\r\n${framing}\r\n${data}`;
  });

/** What a client may send: requests in a row, and now and then something wrong. */
export const clientBytes: fc.Arbitrary<Buffer> = fc
  .array(request, { minLength: 1, maxLength: 4 })
  .map((requests) => Buffer.from(requests.join(''), 'latin1'));

const response: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom('', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 x\r\nLink: y\r\n\r\n'),
    fc.constantFrom('HTTP/1.1 200 OK', 'HTTP/1.1 404', 'HTTP/1.0 200 OK', 'HTTP/1.1 204 x'),
    fc.array(field, { maxLength: 4 }),
    fc.option(wrong, { freq: 12 }),
    body,
  )
  .map(([interim, start, fields, bad, [framing, data]]) => {
    const some = [start, ...fields, ...(bad === null ? [] : [bad])].join('\r\n');
    return `${interim}${some}\r\n${framing}\r\n${data}`;
  });

/** What a server may send in answer to one request. */
export const serverBytes: fc.Arbitrary<Buffer> = response.map((one) => Buffer.from(one, 'latin1'));
