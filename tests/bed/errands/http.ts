import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

const DEADLINE_MS = 60_000;

export interface RequestGiven {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface RequestSeen {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, string | undefined>>;
  readonly bytes: number;
  readonly sha256: string;
}

/** One request by HTTP/1.1; of the body no more than how much it was. */
export async function request(given: RequestGiven): Promise<RequestSeen> {
  const response = await send(given);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    trailers: response.trailers,
    bytes,
    sha256: hash.digest('hex'),
  };
}

/**
 * Follows `/events`, and tells of an event only when the one before has arrived: nobody on the way may wait for more.
 * Ends the stream itself, and returns what it read.
 */
export async function readEvents(given: {
  readonly url: string;
  readonly events: readonly string[];
}): Promise<readonly string[]> {
  const topic = `events-${process.hrtime.bigint()}`;
  const response = await send({ url: `${given.url}/events?topic=${topic}` });
  const heard: string[] = [];
  const coming = [...given.events];
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n\n');
    rest = parts.pop() ?? '';
    heard.push(...parts);
    const next = coming.shift();
    if (next === undefined) break;
    await tell(given.url, topic, next);
  }
  return heard;
}

/** A request whose answer is there only when something happens. */
export async function poll(given: {
  readonly url: string;
  readonly event: string;
}): Promise<string> {
  const topic = `poll-${process.hrtime.bigint()}`;
  const waiting = send({ url: `${given.url}/wait?topic=${topic}` });
  await tell(given.url, topic, given.event);
  return text(await waiting);
}

/** Until somebody has heard it. */
async function tell(url: string, topic: string, event: string): Promise<void> {
  for (;;) {
    const told = await send({ url: `${url}/tell?topic=${topic}`, method: 'POST', body: event });
    if ((await text(told)) === '1') return;
  }
}

async function send({ url, method, headers, body }: RequestGiven): Promise<IncomingMessage> {
  const outgoing = httpRequest(url, {
    method: method ?? 'GET',
    agent: new Agent(),
    signal: AbortSignal.timeout(DEADLINE_MS),
    ...(headers === undefined ? {} : { headers }),
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return response;
}
