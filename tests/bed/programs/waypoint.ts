// A waypoint that reads nothing of what it carries: takes tunnels and passes each on to one pod, in a tunnel of its own.
//
//   node tests/bed/programs/waypoint.ts CERTIFICATE KEY ROOT POD_IP POD_PORT
//
// The first three are PEM files. Prints `listening`, then `AUTHORITY for IDENTITY` for each tunnel that it gets and
// `passed on: STATUS` for what the pod's node tunnel answers.
import { readFileSync } from 'node:fs';
import { connect, createSecureServer, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';

const TUNNEL_PORT = 15_008;

const [certificate = '', key = '', root = '', podIp = '', podPort = ''] = process.argv.slice(2);
const material = {
  cert: readFileSync(certificate),
  key: readFileSync(key),
  ca: readFileSync(root),
  minVersion: 'TLSv1.3',
} as const;

const server = createSecureServer({ ...material, requestCert: true, rejectUnauthorized: true });
server.on('sessionError', () => undefined);
server.on('stream', (stream: ServerHttp2Stream, headers) => {
  const peer = (stream.session?.socket as TLSSocket | undefined)?.getPeerCertificate();
  const identity = (peer?.subjectaltname ?? '').replace('URI:', '');
  process.stdout.write(`${headers[':authority']} for ${identity}\n`);
  passOn(stream);
});
server.listen(TUNNEL_PORT, '::', () => process.stdout.write('listening\n'));

function passOn(stream: ServerHttp2Stream): void {
  // SPIFFE names are no host names: whom this reaches is for the node tunnel to check.
  const session = connect(`https://${podIp}:${TUNNEL_PORT}`, {
    ...material,
    checkServerIdentity: () => undefined,
  });
  const request = session.request({
    ':method': 'CONNECT',
    ':authority': `${podIp}:${podPort}`,
  });
  const end = (): void => {
    session.destroy();
    stream.destroy();
  };
  session.on('error', end);
  request.on('error', end);
  stream.on('error', end);
  request.on('response', ({ ':status': status }) => {
    process.stdout.write(`passed on: ${status}\n`);
    if (status !== 200) return end();
    stream.respond({ ':status': 200 });
    stream.pipe(request);
    request.pipe(stream);
  });
  stream.on('close', () => session.close());
}
