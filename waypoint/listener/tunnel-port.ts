import { parseIp, type SocketAddress } from '#common/net/address.ts';
import { errnoName } from '#linux/libc.ts';
import { listenTcp } from '#linux/socket.ts';
import { Listener } from '#reactor/listener.ts';
import type { Loop } from '#reactor/loop.ts';

/** Connections that the kernel keeps for us until they are accepted. */
const BACKLOG = 1_024;

/** Listens for tunnels on every address of this machine, once it is resumed; or why it can't. */
export function openTunnelPort(
  loop: Loop,
  { port, ipv6 }: { readonly port: number; readonly ipv6: boolean },
  accepted: (fd: number) => void,
  pauses: (problem: string) => void,
): Listener | { readonly problem: string } {
  let problem = '';
  for (const wildcard of ipv6 ? ['::', '0.0.0.0'] : ['0.0.0.0']) {
    const address = { ip: parseIp(wildcard), port } as SocketAddress;
    const tuning = { noDelay: true };
    const opened = listenTcp({
      address,
      transparent: false,
      reusePort: false,
      backlog: BACKLOG,
      tuning,
    });
    if ('fd' in opened) return new Listener(loop, opened.fd, accepted, pauses);
    problem = `cannot listen on port ${port}: ${opened.call}: ${errnoName(opened.errno)}`;
  }
  return { problem };
}
