import type { RequestMessage } from '#waypoint/request/head.ts';

/** A request as rules see it: `GET / ` to shop, unless something else is said. Header names in lower case. */
export function requestHead(
  given: Partial<Pick<RequestMessage, 'method' | 'path' | 'authority' | 'scheme' | 'upgrade'>> & {
    readonly headers?: readonly (readonly [string, string])[];
  } = {},
): RequestMessage {
  const { headers = [], ...more } = given;
  const lines = (name: string): string[] =>
    headers.flatMap(([one, value]) => (one === name ? [value] : []));
  return {
    method: 'GET',
    path: '/',
    authority: 'shop',
    scheme: 'http',
    upgrade: '',
    protocol: 'HTTP/2',
    http1: undefined,
    contentLength: -1,
    hasBody: false,
    fields: () => headers,
    headerLines: lines,
    header: (name) => (lines(name).length === 0 ? undefined : lines(name).join(', ')),
    ...more,
  };
}
