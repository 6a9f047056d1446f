// A program of its own, run inside the client's pod: opens connections, sends one request on each of
// them at once, reads every answer, says "up" and stays until it is killed. So the proxies have had
// all of them busy together, as after a burst. A connection that ends would make the figure too good:
// that ends the program.
// Usage: node idle-connections.ts ADDRESS PORT COUNT PATH
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

// Enough to be quick, and few enough that no accept queue on the way overflows.
const OPENING_MAX = 64;

const [address = '', port = '', count = '', path = ''] = process.argv.slice(2);
const sockets: Socket[] = [];
while (sockets.length < Number(count)) {
  const width = Math.min(OPENING_MAX, Number(count) - sockets.length);
  sockets.push(...(await Promise.all(Array.from({ length: width }, async () => open()))));
}
const answers = sockets.map(async (socket) => untilAnswered(socket));
for (const socket of sockets) socket.write(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\n\r\n`);
await Promise.all(answers);
console.log('up');

async function open(): Promise<Socket> {
  const socket = connect({ host: address, port: Number(port), noDelay: true });
  socket.setEncoding('latin1');
  await once(socket, 'connect');
  socket.on('close', () => {
    throw new Error(`A connection to ${address}:${port} was closed`);
  });
  return socket;
}

async function untilAnswered(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let seen = '';
  socket.on('data', (chunk) => {
    seen += String(chunk);
    if (isWhole(seen)) resolve();
  });
  await promise;
}

function isWhole(answer: string): boolean {
  const head = answer.indexOf('\r\n\r\n');
  const length = /^content-length: (\d+)/im.exec(answer)?.[1];
  return head >= 0 && length !== undefined && answer.length >= head + 4 + Number(length);
}
