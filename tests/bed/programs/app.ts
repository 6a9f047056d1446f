// An application that a pod runs: small TCP services, one per port, on every address.
//
//   node tests/bed/programs/app.ts SERVICE=PORT …
//
//   http    GET / answers the name of the service's host, GET /N a body of N bytes; keeps connections open
//   echo    sends back what it receives, and ends when the client does
//   who     says which address the client comes from, and closes
//   send    receives one line with a number of bytes, sends that many, then their SHA-256, and closes
//   digest  receives to the end of the client's stream, then answers `COUNT SHA-256`
//
// Prints `serving` when all ports listen.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { hostname } from 'node:os';

import { pattern } from './pattern.ts';

const services: Readonly<Record<string, () => Server>> = {
  http: httpService,
  echo: () => createServer({ allowHalfOpen: true }, (client) => serve(client, echo)),
  who: () =>
    createServer((client) => client.end(String(client.remoteAddress).replace('::ffff:', ''))),
  send: () => createServer({ allowHalfOpen: true }, (client) => serve(client, send)),
  digest: () => createServer({ allowHalfOpen: true }, (client) => serve(client, digest)),
};

function httpService(): Server {
  const server = createHttpServer((request, response) => {
    const size = Number(request.url?.slice(1) || Number.NaN);
    const body = Number.isInteger(size) && size >= 0 ? Buffer.alloc(size, 'x') : `${hostname()}\n`;
    response.end(body);
  });
  server.keepAliveTimeout = 0; // a tunnel's connections live for as long as the client wants
  return server;
}

function serve(client: Socket, service: (client: Socket) => Promise<void>): void {
  service(client).catch((error: unknown) => {
    process.stderr.write(`${client.remoteAddress}: ${String(error)}\n`);
    client.destroy();
  });
}

async function echo(client: Socket): Promise<void> {
  client.pipe(client);
  await once(client, 'close');
}

async function send(client: Socket): Promise<void> {
  const [first] = (await once(client, 'data')) as [Buffer];
  const hash = createHash('sha256');
  for (const chunk of pattern(Number(first.toString()))) {
    hash.update(chunk);
    if (!client.write(chunk)) await once(client, 'drain');
  }
  client.end(hash.digest());
}

async function digest(client: Socket): Promise<void> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const chunk of client.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    count += chunk.length;
  }
  client.end(`${count} ${hash.digest('hex')}`);
}

const wanted = process.argv.slice(2).map((text) => {
  const [name = '', port = ''] = text.split('=');
  const open = services[name];
  if (open !== undefined && /^\d+$/.test(port)) return { open, port: Number(port) };
  throw new Error(
    `Cannot serve "${text}": want SERVICE=PORT with one of ${Object.keys(services).join(', ')}`,
  );
});
for (const { open, port } of wanted)
  await once(open().listen({ port, backlog: 4096 }), 'listening');
process.stdout.write('serving\n');
