import type { RateLimitedLines } from '#common/log/rate-limit.ts';
import type { IpAddress, SocketAddress } from '#common/net/address.ts';
import type { LocalPod, MeshView } from '#dataplane/state/view.ts';
import type { TunnelPool } from '#hbone/pool.ts';
import type { TunnelHost } from '#hbone/tunnel.ts';
import { errnoText } from '#linux/libc.ts';
import { inNetns } from '#linux/netns.ts';
import { connectTcp, type KeepAlive } from '#linux/socket.ts';
import type { Loop } from '#reactor/loop.ts';
import type { Slab } from '#reactor/memory.ts';
import { own } from '#reactor/owned-descriptors.ts';
import type { TlsContext } from '#reactor/tls/context.ts';

import type { Telemetry } from './accounting.ts';
import type { PodAdmission, ThreadAdmission } from './admission.ts';
import type { Connections } from './connections.ts';

/** What is the same for every connection of a process. Plain data. */
export interface ProxySettings {
  /** The network that this node is on. */
  readonly network: string;
  /** SO_MARK of every socket of ours: tells the redirection rules to leave it alone. */
  readonly packetMark: number | undefined;
  readonly keepAlive: KeepAlive | undefined;
  readonly userTimeoutMs: number | undefined;
  /** Connect to applications from the client's address, where the kernel lets us. */
  readonly originalSource: boolean;
  /** Say in answers who we are, and believe what requests say (for metrics only). */
  readonly responseBaggage: boolean;
  /** Deliver to the loopback address when an application reads PROXY headers. */
  readonly localhostAppTunnel: boolean;
}

/** Somebody who needs the certificate of an identity. Called once, perhaps at once. */
export interface IdentityWaiter {
  onIdentityReady(context: TlsContext): void;
  onIdentityFailed(reason: string): void;
  /** One of these threw: close what is yours and nothing else. */
  onFault(error: unknown): void;
}

/** Gives the certificate of an identity, now or later; see `Identities`. */
export interface IdentitySource {
  whenReady(identity: string, waiter: IdentityWaiter): void;
  cancel(identity: string, waiter: IdentityWaiter): void;
  ready(identity: string): TlsContext | undefined;
}

/** Somebody who needs to know who has a name. Called once. */
export interface DemandWaiter {
  onAnswered(): void;
  /** It threw: close what is yours and nothing else. */
  onFault(error: unknown): void;
}

/** Asks the control plane for what is not known, when it tells only what was asked for; see `Demands`. */
export interface DemandSource {
  /** What they stand for is known, or known not to exist. */
  areAnswered(names: Iterable<string>): boolean;
  want(names: Iterable<string>, waiter: DemandWaiter): void;
  cancel(names: Iterable<string>, waiter: DemandWaiter): void;
}

/** What all connections of a thread share. */
export interface ThreadContext extends Telemetry {
  readonly loop: Loop;
  /** Receive memory for one call at a time. */
  readonly scratch: Slab;
  readonly mesh: MeshView;
  readonly tunnels: TunnelHost;
  readonly identities: IdentitySource;
  readonly connections: Connections;
  /** Undefined: the whole mesh is known. */
  readonly demands: DemandSource | undefined;
  readonly settings: ProxySettings;
  readonly admission: ThreadAdmission;
  /** Tells the operator about a condition of this process. */
  report(problem: string): void;
  /** The same for what can happen again and again. */
  readonly repeated: RateLimitedLines;
}

/** What the connections of one pod share. */
export interface PodContext {
  readonly thread: ThreadContext;
  readonly pod: LocalPod;
  /** The pod's network namespace: sockets are made inside it. */
  readonly netnsFd: number;
  readonly pool: TunnelPool;
  readonly admission: PodAdmission;
  /** Live connections, each of them for the hand-over and for the end of the pod. */
  readonly live: Set<LiveConnection>;
  /** Those of them that came in plaintext and wait for the pod's configuration. */
  readonly waitingPlaintext: Set<LiveConnection>;
  /** Those that go out and do so. */
  readonly waitingOutbound: Set<LiveConnection>;
}

/** A connection as its pod sees it. */
export interface LiveConnection {
  /** Brings the counters up to now. */
  countBytes(): void;
  /** Cuts it: both ends see a reset, the log gets `reason`. */
  cut(reason: string): void;
  /** What the admin page shows. */
  describe(): ConnectionDescription;
}

export interface ConnectionDescription {
  readonly direction: 'inbound' | 'outbound';
  readonly source: string;
  readonly originalDestination: string;
  readonly actualDestination: string;
  readonly protocol: 'HBONE' | 'TCP';
}

/**
 * Starts to connect from inside the pod's namespace, from `sourceIp` when that is given and the kernel lets us
 * use it: the descriptor, or why not. Never throws: a namespace that can't be entered is one more reason.
 */
export function connectFromPod(
  context: PodContext,
  to: SocketAddress,
  sourceIp?: IpAddress,
): { readonly fd: number } | { readonly reason: string } {
  const { packetMark: mark, keepAlive, userTimeoutMs } = context.thread.settings;
  const from = sourceIp === undefined ? undefined : { ip: sourceIp, port: 0 };
  const options = { to, from, mark, keepAlive, userTimeoutMs };
  try {
    const dialed = inNetns(context.netnsFd, () => {
      const first = connectTcp(options);
      if ('fd' in first || from === undefined || first.call !== 'bind') return first;
      reportOwnSource(context, from.ip, first.errno);
      return connectTcp({ ...options, from: undefined });
    });
    if (!('fd' in dialed)) return { reason: errnoText(dialed.errno) };
    own(dialed.fd);
    return dialed;
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

/** The application is reached all the same: it only sees another client than there is. */
function reportOwnSource({ thread, pod }: PodContext, ip: IpAddress, errno: number): void {
  const line = `cannot connect to pod ${pod.namespace}/${pod.name} from its client's address ${ip}: ${errnoText(errno)}; it sees an address of this node`;
  thread.repeated.write('own-source', line, thread.loop.nowMs);
}

/** How a connection that one of our own faults has ended reads in the log. */
export function internalError(error: unknown): string {
  return `internal error: ${error instanceof Error ? error.message : String(error)}`;
}
