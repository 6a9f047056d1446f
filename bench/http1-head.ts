// What a request head costs in the HTTP/1 codec: parsed, looked at as a route does, written again with two fields more;
// beside a plain parser of strings that does the same, and beside llhttp's parsing alone, as node:http uses it.
// `node bench/http1-head.ts` prints nanoseconds per head, the best of the rounds.
import { ByteOutput } from '#codec/http1/byte-output.ts';
import { Head } from '#codec/http1/head.ts';
import { beginHead, parseHead } from '#codec/http1/parse-head.ts';
import { writeRequestHead } from '#codec/http1/write.ts';

const ROUNDS = 200;
const HEADS_PER_ROUND = 2_000;

const REQUEST = Buffer.from(
  [
    'GET /api/v1/products/17/reviews?page=2&order=newest HTTP/1.1',
    'Host: reviews.shop.svc.cluster.local:9080',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)',
    'Accept: application/json, text/plain, */*',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en-US,en;q=0.9',
    'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark',
    'Referer: http://shop.example/products/17',
    'X-Request-Id: 3f2b8a52-58c8-4d06-9a5e-8f0cf4b4d8c1',
    'Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'Connection: keep-alive',
    '',
    '',
  ].join('\r\n'),
);

const EXTRA = [
  ['x-forwarded-proto', 'http'],
  ['x-b3-sampled', '0'],
] as const;
const OUTGOING = {
  framing: 'none',
  connection: '',
  upgrade: '',
  trailers: false,
  length: 'drop',
} as const;

const target = Buffer.alloc(4096);
const output = new ByteOutput();
const head = new Head('request');

function parseInPlace(): number {
  beginHead(head, REQUEST, 0);
  parseHead(head, REQUEST.length);
  return head.end;
}

function parseAndWrite(): number {
  parseInPlace();
  const looked = head.path.length + head.authority.length + (head.value('x-user')?.length ?? 0);
  writeRequestHead(output.point(target, 0, target.length), head, { extra: EXTRA }, OUTGOING);
  return looked + output.end;
}

function withStrings(): number {
  const lines = REQUEST.toString('latin1').split('\r\n');
  const [method = '', path = ''] = (lines[0] ?? '').split(' ');
  const fields = new Map<string, string>();
  for (const line of lines.slice(1, -2)) {
    const colon = line.indexOf(':');
    fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  fields.delete('connection');
  for (const [name, value] of EXTRA) fields.set(name, value);
  let text = `${method} ${path} HTTP/1.1\r\n`;
  for (const [name, value] of fields) text += `${name}: ${value}\r\n`;
  const looked = path.length + (fields.get('host')?.length ?? 0);
  return looked + target.write(`${text}\r\n`, 0, 'latin1');
}

/** node:http reaches it through a module that has no types. */
interface Parser {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): unknown;
  [callback: number]: unknown;
}
const { HTTPParser } = process.getBuiltinModule('_http_common') as unknown as {
  readonly HTTPParser: {
    new (): Parser;
    readonly REQUEST: number;
    readonly kOnHeadersComplete: number;
  };
};
const llhttp = new HTTPParser();
llhttp.initialize(HTTPParser.REQUEST, {});
llhttp[HTTPParser.kOnHeadersComplete] = () => 0;

function parseWithLlhttp(): number {
  return Number(llhttp.execute(REQUEST));
}

function bestNs(work: () => number): number {
  let best = Number.POSITIVE_INFINITY;
  let sink = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < HEADS_PER_ROUND; i++) sink += work();
    best = Math.min(best, Number(process.hrtime.bigint() - begin) / HEADS_PER_ROUND);
  }
  if (sink === 0) throw new Error('Nothing was done');
  return Math.round(best);
}

console.log(`ns per head of ${REQUEST.length} bytes`);
for (const [name, work] of [
  ['parsed in place', parseInPlace],
  ['parsed in place, looked at, written', parseAndWrite],
  ['the same with strings', withStrings],
  ['parsed by llhttp', parseWithLlhttp],
] as const)
  console.log(`${String(bestNs(work)).padStart(7)}  ${name}`);
