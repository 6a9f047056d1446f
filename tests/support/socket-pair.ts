import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socketpair } from '#linux/libc.ts';

/** Two connected stream sockets. */
export function socketPair(): [number, number] {
  const pair = new Int32Array(2);
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (socketpair(AF_UNIX, type, 0, new Uint8Array(pair.buffer)) < 0)
    throw new Error('No socketpair');
  return [pair[0]!, pair[1]!];
}
