// The shop of the story: an HTTP server whose answers hold words that nobody on the wire should read.
//
//   node tests/demo/programs/shop.ts PORT
//
// Prints `open` when it listens, `order from ADDRESS` for every request; connections stay open.
import { createServer } from 'node:http';

const [port = ''] = process.argv.slice(2);
const server = createServer((request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end('3 apples, paid with card 4111-1111\n');
  if (request.url === '/order') {
    process.stdout.write(`order from ${request.socket.remoteAddress?.replace('::ffff:', '')}\n`);
  }
});
server.keepAliveTimeout = 0;
server.listen(Number(port), () => process.stdout.write('open\n'));
