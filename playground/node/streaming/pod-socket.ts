import { Socket } from 'node:net';

import type { IpAddress } from '#common/net/address.ts';
import { close, errnoName } from '#linux/libc.ts';
import { inNetns, openNetns } from '#linux/netns.ts';
import { connectTcp } from '#linux/socket.ts';

const LOOPBACK = '127.0.0.1' as IpAddress;

/**
 * A connection to a port of the pod's own loopback, or why there is none. `netns` is the path of its
 * network namespace; undefined: the node's.
 */
export function connectInside(netns: string | undefined, port: number): Socket | string {
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

/** What is told to a client whose connection there is not. */
export function unconnected(port: number, why: string): string {
  return `failed to connect to localhost:${port} inside the pod: ${why}`;
}
