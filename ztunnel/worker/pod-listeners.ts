import { parseIp, type SocketAddress } from '#common/net/address.ts';
import type { LocalPod } from '#dataplane/state/view.ts';
import { errnoName, errnoText } from '#linux/libc.ts';
import { inNetns } from '#linux/netns.ts';
import {
  listeningPort,
  listenTcp,
  setListenerTransparent,
  setMark,
  type TcpTuning,
  tuneTcp,
} from '#linux/socket.ts';
import { own } from '#reactor/owned-descriptors.ts';
import { closeSocket } from '#reactor/socket.ts';

import type { PodContext, ProxySettings, ThreadContext } from '../proxy/context.ts';
import { HBONE_PORT, OUTBOUND_PORT, PLAINTEXT_PORT } from '../proxy/ports.ts';

/** What the pods of a process have in common. */
export interface ListenSettings {
  readonly ipv6: boolean;
  readonly reusePort: boolean;
  /** Serve no pod whose applications could not be shown their clients' addresses. */
  readonly mustBeTransparent: boolean;
}

/** A pod's listeners, by what comes in. */
export type ListenerName = 'outbound' | 'plaintext' | 'inbound';
export type ListenerFds = Readonly<Record<ListenerName, number>>;

export const listenerNames: readonly ListenerName[] = ['outbound', 'plaintext', 'inbound'];

const portOf: Readonly<Record<ListenerName, number>> = {
  outbound: OUTBOUND_PORT,
  plaintext: PLAINTEXT_PORT,
  inbound: HBONE_PORT,
};

/** Longer than a burst of a busy client; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4_096;

const NOT_TRANSPARENT =
  'IP_TRANSPARENT is not permitted, which ENABLE_ORIG_SRC=true asks for: want the capability NET_ADMIN, or ENABLE_ORIG_SRC unset';

/** Opens the three listeners inside the pod's namespace. The text of an error, with nothing left open. */
export function openListeners(context: PodContext, settings: ListenSettings): ListenerFds | string {
  const fds: Partial<Record<ListenerName, number>> = {};
  for (const name of listenerNames) {
    const opened = tryOpen(context, portOf[name], settings);
    if (typeof opened === 'string') {
      for (const fd of Object.values(fds)) closeSocket(fd);
      return opened;
    }
    fds[name] = opened;
  }
  return fds as ListenerFds;
}

/**
 * Makes listeners of another process what this one asks for, as far as the other one could not notice when it gets
 * them back. A text says why they can't be used.
 */
export function takeListeners(
  pod: LocalPod,
  fds: ListenerFds,
  settings: ListenSettings,
): string | undefined {
  for (const name of listenerNames) {
    const port = listeningPort(fds[name]);
    const what = `cannot take over the listener on port ${portOf[name]} of pod ${pod.namespace}/${pod.name}`;
    if (port === undefined) return `${what}: it is no TCP listener`;
    if (port !== portOf[name]) return `${what}: it listens on port ${port}`;
    const transparent = setListenerTransparent(fds[name]) === 0;
    if (!transparent && settings.mustBeTransparent) return `${what}: ${NOT_TRANSPARENT}`;
  }
  return undefined;
}

/** The rest: listeners of another process that are ours for certain accept with this process's settings. */
export function retuneListeners(thread: ThreadContext, pod: LocalPod, fds: ListenerFds): void {
  const { packetMark } = thread.settings;
  for (const name of listenerNames) {
    tuneTcp(fds[name], tuningOf(thread.settings));
    const marked = packetMark === undefined ? 0 : setMark(fds[name], packetMark);
    if (marked === 0) continue;
    const which = `the listener on port ${portOf[name]} of pod ${pod.namespace}/${pod.name}`;
    thread.report(`cannot mark ${which}, which another process has opened: ${errnoText(marked)}`);
  }
}

function tryOpen(context: PodContext, port: number, settings: ListenSettings): number | string {
  try {
    return open(context, port, settings);
  } catch (error) {
    // The namespace can't be entered.
    return error instanceof Error ? error.message : String(error);
  }
}

function open(context: PodContext, port: number, settings: ListenSettings): number | string {
  const { settings: proxy } = context.thread;
  const common = {
    mark: proxy.packetMark,
    transparent: true,
    reusePort: settings.reusePort,
    backlog: BACKLOG,
    tuning: tuningOf(proxy),
  };
  const wildcards = settings.ipv6 ? ['::', '0.0.0.0'] : ['0.0.0.0'];
  let problem = '';
  for (const wildcard of wildcards) {
    const address = socketAddress(wildcard, port);
    const opened = inNetns(context.netnsFd, () => listenTcp({ ...common, address }));
    const { namespace, name: pod } = context.pod;
    const what = `cannot listen on port ${port} in the network namespace of pod ${namespace}/${pod}`;
    if ('fd' in opened) {
      if (opened.transparent || !settings.mustBeTransparent) {
        own(opened.fd);
        return opened.fd;
      }
      closeSocket(opened.fd);
      return `${what}: ${NOT_TRANSPARENT}`;
    }
    const name = errnoName(opened.errno);
    problem = `${what}: ${opened.call}: ${name}`;
    // A pod without IPv6 has only the other wildcard address.
    if (name !== 'EAFNOSUPPORT' && name !== 'EADDRNOTAVAIL') break;
  }
  return problem;
}

function tuningOf({ keepAlive, userTimeoutMs }: ProxySettings): TcpTuning {
  return { noDelay: true, keepAlive, userTimeoutMs };
}

function socketAddress(text: string, port: number): SocketAddress {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`not an address: ${text}`);
  return { ip, port };
}
