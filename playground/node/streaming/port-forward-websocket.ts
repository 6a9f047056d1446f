import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { connectInside, unconnected } from './pod-socket.ts';
import { WebSocketConnection } from './websocket.ts';

export const PORT_FORWARD_WEBSOCKET_PROTOCOL = 'v4.channel.k8s.io';

/** More would not fit into the byte that names a channel: each port has two. */
const PORTS_MAX = 127;

/** The ports of a request's query, each once or all in one; undefined when they are none, or wrong. */
export function portsOf(query: URLSearchParams): readonly number[] | undefined {
  const texts = query.getAll('ports').flatMap((text) => text.split(','));
  const ports = texts.map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : 0));
  const known = ports.every((port) => port > 0 && port < 65_536);
  return known && ports.length > 0 && ports.length <= PORTS_MAX ? ports : undefined;
}

/**
 * Joins the channels of a WebSocket with ports of a pod: of the port at `index` of `ports`, channel
 * 2 * index is the connection and the one after it tells why it has failed. Each begins with its port.
 */
export function forwardPortsOverWebSocket(
  socket: Duplex,
  head: Buffer,
  to: { readonly netns: string | undefined; readonly ports: readonly number[] },
): void {
  const sockets: (Socket | undefined)[] = [];
  const connection = new WebSocketConnection(socket, head, {
    onMessage: (message) => {
      const rest = message.subarray(1);
      const opened = sockets[(message[0] ?? 0) / 2];
      if (rest.length > 0 && opened?.write(rest) === false) connection.pause();
    },
    onDrain: () => {
      for (const each of sockets) each?.resume();
    },
    onClose: () => {
      for (const each of sockets) each?.destroy();
    },
  });
  const finish = (index: number): void => {
    sockets[index] = undefined;
    connection.resume();
    if (sockets.every((each) => each === undefined)) connection.close();
  };
  const join = (port: number, index: number): void => {
    const [data, error] = [Buffer.from([2 * index]), Buffer.from([2 * index + 1])];
    const named = Buffer.alloc(2);
    named.writeUInt16LE(port);
    connection.send(data, named);
    connection.send(error, named);
    const refuse = (why: string): boolean =>
      connection.send(error, Buffer.from(unconnected(port, why)));
    const opened = connectInside(to.netns, port);
    if (typeof opened === 'string') {
      refuse(opened);
      return;
    }
    sockets[index] = opened;
    opened.on('drain', () => connection.resume());
    opened.on('data', (chunk: Buffer) => {
      if (!connection.send(data, chunk)) opened.pause();
    });
    // Channels have no end of their own: the pod's is the connection's.
    opened.on('end', () => opened.end());
    opened.on('error', (problem) => refuse(problem.message));
    opened.on('close', () => finish(index));
  };
  for (const [index, port] of to.ports.entries()) join(port, index);
  if (sockets.every((each) => each === undefined)) connection.close();
}
