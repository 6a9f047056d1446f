import { once } from 'node:events';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

import type { TlsMaterial } from '#reactor/tls/context.ts';

/**
 * A tunnel's far end made of Node's own HTTP/2: mutual TLS, and a handler that sees each CONNECT.
 * `maxConcurrentStreams` is what its SETTINGS say.
 */
export class Http2Peer implements Disposable {
  readonly server: Http2SecureServer;
  readonly sessions: Set<ServerHttp2Session> = new Set();
  /** Sessions that there were. */
  sessionCount = 0;

  private constructor(server: Http2SecureServer) {
    this.server = server;
  }

  static async start(
    material: TlsMaterial,
    onConnect: (stream: ServerHttp2Stream, peer: Http2Peer) => void,
    maxConcurrentStreams = 1_000,
  ): Promise<Http2Peer> {
    const peer = new Http2Peer(
      createSecureServer({
        cert: material.chainPem.join(''),
        key: material.privateKeyPem,
        ca: material.rootsPem,
        requestCert: true,
        minVersion: 'TLSv1.3',
        settings: { maxConcurrentStreams },
      }),
    );
    peer.server.on('session', (session) => {
      peer.sessionCount++;
      peer.sessions.add(session);
      session.on('close', () => peer.sessions.delete(session));
      session.on('error', () => undefined);
    });
    peer.server.on('sessionError', () => undefined);
    peer.server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => undefined);
      onConnect(stream, peer);
    });
    peer.server.listen(0, '127.0.0.1');
    await once(peer.server, 'listening');
    return peer;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  [Symbol.dispose](): void {
    for (const session of this.sessions) session.destroy();
    this.server.close();
  }
}

/** Accepts a CONNECT and sends everything back. */
export function echo(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200 });
  stream.pipe(stream);
}
