import {
  AF_UNIX,
  errno,
  errnoName,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socketpair,
} from './libc.ts';

/** Two connected Unix sockets of this process, `SOCK_STREAM` unless another type is given. Throws when there are none. */
export function openSocketPair(type: number = SOCK_STREAM): readonly [number, number] {
  const pair = new Int32Array(2);
  const flags = type | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (socketpair(AF_UNIX, flags, 0, new Uint8Array(pair.buffer)) < 0) {
    throw new Error(`Cannot open a pair of sockets (socketpair): ${errnoName(errno())}`);
  }
  return [pair[0] as number, pair[1] as number];
}
