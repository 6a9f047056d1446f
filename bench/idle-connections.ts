// A program of its own, run inside the client's pod: opens connections, sends one request on each,
// reads the whole answer, says "up" and stays until it is killed. An idle connection that ends would
// make the figure too good, so that ends the program.
// Usage: node idle-connections.ts ADDRESS PORT COUNT PATH
import { connect } from 'node:net';

// Enough to be quick, and few enough that no accept queue on the way overflows.
const OPENING_MAX = 64;

const [address = '', port = '', count = '', path = ''] = process.argv.slice(2);
for (let open = 0; open < Number(count); open += OPENING_MAX) {
  const width = Math.min(OPENING_MAX, Number(count) - open);
  await Promise.all(Array.from({ length: width }, async () => requestOnce()));
}
console.log('up');

/** Opens a connection, sends the request and resolves once the answer is here; the connection stays. */
async function requestOnce(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect({ host: address, port: Number(port), noDelay: true });
  socket.setEncoding('latin1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\n\r\n`);
  let seen = '';
  socket.on('data', (chunk) => {
    seen += String(chunk);
    if (isWhole(seen)) resolve();
  });
  socket.on('close', () => {
    throw new Error(`A connection to ${address}:${port} was closed`);
  });
  await promise;
}

function isWhole(answer: string): boolean {
  const head = answer.indexOf('\r\n\r\n');
  const length = /^content-length: (\d+)/im.exec(answer)?.[1];
  return head >= 0 && length !== undefined && answer.length >= head + 4 + Number(length);
}
