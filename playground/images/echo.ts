// The image ambit/echo: answers HTTP on port 8080 with what it was asked and by whom, and sends back every byte on TCP
// port 9000. `--http PORT` and `--tcp PORT` take others.
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    http: { type: 'string', default: '8080' },
    tcp: { type: 'string', default: '9000' },
  },
});

const http = createHttpServer((request, response) => {
  const { remoteAddress = '' } = request.socket;
  process.stdout.write(`${request.method} ${request.url} from ${plain(remoteAddress)}\n`);
  const lines = [
    `Hostname=${hostname()}`,
    `Method=${request.method}`,
    `URL=${request.url}`,
    `Peer=${plain(remoteAddress)}`,
    ...Object.entries(request.headers).map(([name, value]) => `Header=${name}:${String(value)}`),
  ];
  response.setHeader('Content-Type', 'text/plain');
  request.resume();
  request.once('end', () => response.end(`${lines.join('\n')}\n`));
});
http.listen(Number(values.http));

const tcp = createTcpServer({ allowHalfOpen: true }, (socket) => {
  process.stdout.write(`TCP connection from ${plain(socket.remoteAddress ?? '')}\n`);
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
tcp.listen(Number(values.tcp));

process.on('SIGTERM', () => process.exit(0));

/** IPv4 addresses come in the form of IPv6 on a socket that takes both. */
function plain(address: string): string {
  return address.replace(/^::ffff:/, '');
}
