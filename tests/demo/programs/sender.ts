// Sends bytes to whoever connects, as fast as they are taken, until it is told to finish.
//
//   node tests/demo/programs/sender.ts PORT
//
// Prints `ready`, then for its one connection `sending to ADDRESS`; a line on standard input lets it end
// the stream with the SHA-256 of all that it sent (32 bytes), print `sent COUNT SHA256` and exit. A stream
// without that last part is incomplete.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

const BLOCK_BYTES = 256 * 1024;

const [port = ''] = process.argv.slice(2);
const finish = new AbortController();
process.stdin.once('data', () => {
  finish.abort();
  process.stdin.destroy();
});

const server = createServer((client) => {
  server.close();
  process.stdout.write(`sending to ${client.remoteAddress?.replace('::ffff:', '')}\n`);
  client.on('error', giveUp);
  send(client).catch(giveUp);
});
server.listen(Number(port), () => process.stdout.write('ready\n'));

async function send(client: Socket): Promise<void> {
  const hash = createHash('sha256');
  let count = 0;
  for (let block = 0; !finish.signal.aborted; block++) {
    // Every block differs from its neighbours: a lost, doubled or swapped one changes the digest.
    const bytes = Buffer.alloc(BLOCK_BYTES, `block ${block};`);
    hash.update(bytes);
    count += bytes.length;
    // Also without a full buffer, another turn must see what standard input says.
    if (client.write(bytes)) await new Promise(setImmediate);
    else await once(client, 'drain');
  }
  const digest = hash.digest();
  client.end(digest);
  process.stdout.write(`sent ${count} ${digest.toString('hex')}\n`);
}

function giveUp(error: unknown): void {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
  process.stdin.destroy();
}
