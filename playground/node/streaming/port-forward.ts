import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { connectInside, unconnected } from './pod-socket.ts';
import { SpdyConnection, type SpdyStream } from './spdy-connection.ts';

export const PORT_FORWARD_PROTOCOL = 'portforward.k8s.io';

/** The streams of one forwarded connection: the client opens the one for errors first. */
interface Pair {
  readonly port: number;
  readonly error: SpdyStream;
}

/** Joins the streams of a SPDY connection with ports of a pod. `netns` is the path of its namespace; undefined: the node's. */
export function forwardPorts(socket: Duplex, head: Buffer, netns: string | undefined): void {
  const pairs = new Map<string, Pair>();
  const sockets = new Set<Socket>();
  const connection = new SpdyConnection(socket, head, {
    onStream: (stream) => {
      const request = stream.headers.get('requestid') ?? '';
      const port = Number(stream.headers.get('port'));
      const type = stream.headers.get('streamtype');
      const pair = pairs.get(request);
      if (type === 'error' && pair === undefined && port > 0 && port < 65_536) {
        pairs.set(request, { port, error: stream });
      } else if (type === 'data' && pair !== undefined) {
        pairs.delete(request);
        joinPort(stream, pair);
      } else connection.reset(stream);
    },
    onDrain: () => {
      for (const each of sockets) each.resume();
    },
    onClose: () => {
      for (const each of sockets) each.destroy();
    },
  });

  const joinPort = (data: SpdyStream, { port, error }: Pair): void => {
    const finish = (): void => {
      for (const stream of [data, error]) {
        connection.end(stream);
        connection.forget(stream);
      }
    };
    const refuse = (why: string): void => {
      connection.write(error, Buffer.from(unconnected(port, why)));
    };
    const opened = connectInside(netns, port);
    if (typeof opened === 'string') {
      refuse(opened);
      return finish();
    }
    sockets.add(opened);
    data.onData = (chunk) => {
      if (!opened.write(chunk)) connection.pause();
    };
    data.onEnd = () => opened.end();
    opened.on('drain', () => connection.resume());
    opened.on('data', (chunk: Buffer) => {
      if (!connection.write(data, chunk)) opened.pause();
    });
    opened.on('error', (problem) => refuse(problem.message));
    opened.on('close', () => {
      sockets.delete(opened);
      connection.resume();
      finish();
    });
  };
}
