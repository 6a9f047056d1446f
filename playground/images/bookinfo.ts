// The images ambit/bookinfo-…: the services of the well-known book shop, in small. Each answers on port 9080 with the paths
// of the original: productpage asks details and reviews, reviews (v2, v3) asks ratings. New is the inventory, by gRPC.
import { createServer, request, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { env } from 'node:process';

const PORT = 9080;
const CALL_TIMEOUT_MS = 3_000;
const ANSWER_BYTES_MAX = 1 << 20;
const [service = '', version = 'v1'] = process.argv.slice(2);

type Answer = { readonly code: number; readonly body: unknown };

const handlers: Readonly<Record<string, (path: string) => Promise<Answer>>> = {
  productpage: productPage,
  details: async (path) => forBook(path, 'details', async (id) => details(id)),
  reviews: async (path) => forBook(path, 'reviews', reviews),
  ratings: async (path) => forBook(path, 'ratings', async (id) => ratings(id)),
};
const handler = handlers[service];
if (handler === undefined) {
  const names = Object.keys(handlers).join(', ');
  process.stderr.write(`Unknown service ${JSON.stringify(service)}: want one of ${names}\n`);
  process.exit(1);
}

const server = createServer((incoming, response) => {
  const path = incoming.url ?? '/';
  incoming.resume();
  if (path === '/health') return send(response, { code: 200, body: { status: 'healthy' } });
  process.stdout.write(`${incoming.method} ${path}\n`);
  handler(path).then(
    (answer) => send(response, answer),
    (error: unknown) => send(response, { code: 500, body: { error: String(error) } }),
  );
});
server.listen(PORT);
process.on('SIGTERM', () => process.exit(0));

async function productPage(path: string): Promise<Answer> {
  const { pathname } = new URL(path, 'http://productpage');
  if (pathname === '/') {
    return {
      code: 200,
      body: '<title>Simple Bookstore App</title><a href="/productpage">shop</a>\n',
    };
  }
  const products = /^\/api\/v1\/products(?:\/(\d+)(?:\/(reviews|ratings|inventory))?)?$/.exec(
    pathname,
  );
  if (products !== null) {
    const [, id, what] = products;
    if (id === undefined) return { code: 200, body: [{ id: 0, title: TITLE }] };
    if (what === 'inventory') return countCopies(Number(id));
    return call(what ?? 'details', `/${what ?? 'details'}/${id}`);
  }
  if (pathname !== '/productpage') return { code: 404, body: { error: 'not found' } };
  const [book, opinions] = await Promise.all([
    call('details', '/details/0'),
    call('reviews', '/reviews/0'),
  ]);
  return { code: 200, body: page(book, opinions) };
}

const TITLE = 'The Comedy of Errors';

function page(book: Answer, opinions: Answer): string {
  const detail = book.body as { author?: string; pages?: number };
  const list = (opinions.body as { reviews?: readonly Review[] }).reviews ?? [];
  return [
    `<html><head><title>Simple Bookstore App</title></head><body><h1>${TITLE}</h1>`,
    book.code === 200
      ? `<h4>Book Details</h4><p>${detail.author}, ${detail.pages} pages</p>`
      : '<h4>Error fetching product details!</h4>',
    opinions.code === 200
      ? `<h4>Book Reviews</h4>${list.map((each) => reviewHtml(each)).join('')}`
      : '<h4>Error fetching product reviews!</h4>',
    '</body></html>\n',
  ].join('\n');
}

interface Review {
  readonly reviewer: string;
  readonly text: string;
  readonly rating?: { readonly stars?: number; readonly color?: string; readonly error?: string };
}

function reviewHtml({ reviewer, text, rating }: Review): string {
  const stars =
    rating?.stars === undefined
      ? (rating?.error ?? '')
      : `<font color="${rating.color}">${'★'.repeat(rating.stars)}</font>`;
  return `<blockquote>${text}<small>${reviewer}</small>${stars}</blockquote>`;
}

async function forBook(
  path: string,
  resource: string,
  answer: (id: number) => Promise<unknown>,
): Promise<Answer> {
  const id = new RegExp(`^/${resource}/(\\d+)$`).exec(path)?.[1];
  if (id === undefined) {
    return { code: 400, body: { error: `please provide numeric product id: /${resource}/ID` } };
  }
  return { code: 200, body: await answer(Number(id)) };
}

function details(id: number): unknown {
  return {
    id,
    author: 'William Shakespeare',
    year: 1595,
    type: 'paperback',
    pages: 200,
    publisher: 'PublisherA',
    language: 'English',
    'ISBN-10': '1234567890',
    'ISBN-13': '123-1234567890',
  };
}

function ratings(id: number): unknown {
  return { id, ratings: { Reviewer1: 5, Reviewer2: 4 } };
}

/** v1 shows no stars, v2 black ones, v3 red ones. */
async function reviews(id: number): Promise<unknown> {
  const texts = [
    [
      'Reviewer1',
      'An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!',
    ],
    [
      'Reviewer2',
      'Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.',
    ],
  ] as const;
  const answer = version === 'v1' ? undefined : await call('ratings', `/ratings/${id}`);
  const stars = (answer?.body as { ratings?: Readonly<Record<string, number>> } | undefined)
    ?.ratings;
  const color = version === 'v2' ? 'black' : 'red';
  return {
    id: String(id),
    podname: hostname(),
    reviews: texts.map(([reviewer, text]) => ({
      reviewer,
      text,
      ...(answer === undefined ? {} : { rating: ratingOf(stars?.[reviewer], color) }),
    })),
  };
}

function ratingOf(stars: number | undefined, color: string): NonNullable<Review['rating']> {
  return stars === undefined
    ? { error: 'Ratings service is currently unavailable' }
    : { stars, color };
}

/** Asks another service: by its name, or by what DETAILS_HOSTNAME and its like say. */
async function call(name: string, path: string): Promise<Answer> {
  const host = env[`${name.toUpperCase()}_HOSTNAME`] ?? name;
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const failed = (error: Error): void => resolve({ code: 503, body: { error: error.message } });
  const outgoing = request({ host, port: PORT, path, timeout: CALL_TIMEOUT_MS }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      if (text.length < ANSWER_BYTES_MAX) text += chunk;
    });
    response.once('error', failed);
    response.once('end', () => resolve({ code: response.statusCode ?? 502, body: parse(text) }));
  });
  outgoing.once('timeout', () => outgoing.destroy(new Error(`${name} does not answer`)));
  outgoing.once('error', failed);
  outgoing.end();
  return promise;
}

/** Asks `inventory` by gRPC. */
async function countCopies(book: number): Promise<Answer> {
  // Nobody else of the shop needs it: it takes a while to load.
  const [{ Client, credentials }, { COUNT, INVENTORY_PORT }] = await Promise.all([
    import('@grpc/grpc-js'),
    import('./inventory-service.ts'),
  ]);
  const target = `${env['INVENTORY_HOSTNAME'] ?? 'inventory'}:${INVENTORY_PORT}`;
  const client = new Client(target, credentials.createInsecure());
  const { promise, resolve } = Promise.withResolvers<Answer>();
  client.makeUnaryRequest(
    COUNT.path,
    COUNT.requestSerialize,
    COUNT.responseDeserialize,
    { book },
    { deadline: Date.now() + CALL_TIMEOUT_MS },
    (error, reply) =>
      resolve(
        error === null
          ? { code: 200, body: reply }
          : { code: 503, body: { error: `${error.code} ${error.details}` } },
      ),
  );
  const answer = await promise;
  client.close();
  return answer;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { error: text.slice(0, 200) };
  }
}

function send(response: ServerResponse, { code, body }: Answer): void {
  const isPage = typeof body === 'string';
  response.statusCode = code;
  response.setHeader('Content-Type', isPage ? 'text/html; charset=utf-8' : 'application/json');
  response.end(isPage ? body : JSON.stringify(body));
}
