import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import type { IpAddress } from '#common/net/address.ts';
import { close, errnoName } from '#linux/libc.ts';
import { inNetns, openNetns } from '#linux/netns.ts';
import { connectTcp } from '#linux/socket.ts';

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
      const text = `failed to connect to localhost:${port} inside the pod: ${why}`;
      connection.write(error, Buffer.from(text));
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

const LOOPBACK = '127.0.0.1' as IpAddress;

/** A connection to the pod's own loopback, or why there is none. */
function connectInside(netns: string | undefined, port: number): Socket | string {
  const connect = (): ReturnType<typeof connectTcp> => connectTcp({ to: { ip: LOOPBACK, port } });
  let result: ReturnType<typeof connectTcp>;
  if (netns === undefined) result = connect();
  else {
    const namespace = openNetns(netns);
    try {
      result = inNetns(namespace, connect);
    } finally {
      close(namespace);
    }
  }
  if ('errno' in result) return errnoName(result.errno);
  return new Socket({ fd: result.fd, readable: true, writable: true, allowHalfOpen: true });
}
