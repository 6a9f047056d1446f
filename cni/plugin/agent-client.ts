import { request } from 'node:http';

import type { PodReference, ResultIp } from './protocol.ts';

/** What the agent gets for a new pod, in the names that it has on the wire. */
export interface AddEvent {
  readonly Netns: string;
  readonly PodName: string;
  readonly PodNamespace: string;
  readonly IPs: readonly EventIp[] | null;
  /** Said by this plugin alone, when it knows. */
  readonly PodUID?: string;
  /** Set by this plugin alone: the agent may answer that the pod is none of the mesh. */
  readonly AgentDecides: true;
}

interface EventIp {
  readonly Interface: number | null;
  /** `Mask`: base64 of the mask's 4 or 16 bytes. */
  readonly Address: { readonly IP: string; readonly Mask: string };
  readonly Gateway: string;
}

export type AgentAnswer =
  /** Enrolled, or none of the mesh: the pod may start. */
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** Nobody answers on the socket. */
  | { readonly kind: 'unreachable'; readonly reason: string };

/** The agent waits 5 s for the node tunnel at most; the runtime waits longer than this for us. */
const AGENT_TIMEOUT_MS = 5_000;
/** Most that is read of the agent's reason. */
const REASON_BYTES_MAX = 1 << 20;

export function addEvent(
  pod: PodReference,
  netns: string,
  ips: readonly ResultIp[] | undefined,
): AddEvent {
  return {
    Netns: netns,
    PodName: pod.name,
    PodNamespace: pod.namespace,
    IPs: ips === undefined ? null : ips.map(eventIp),
    ...(pod.uid === undefined ? {} : { PodUID: pod.uid }),
    AgentDecides: true,
  };
}

/** Tells the agent of a new pod (`POST /cmdadd` on its stream socket) and waits for its word. Never throws. */
export function tellAgent(
  socketPath: string,
  event: AddEvent,
  timeoutMs: number = AGENT_TIMEOUT_MS,
): Promise<AgentAnswer> {
  return new Promise((resolve) => {
    const unreachable = (reason: string): void => resolve({ kind: 'unreachable', reason });
    const body = JSON.stringify(event);
    const sent = request(
      {
        socketPath,
        path: '/cmdadd',
        method: 'POST',
        headers: {
          Host: 'unix',
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
        },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        let reason = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          if (reason.length < REASON_BYTES_MAX) reason += chunk;
        });
        response.on('end', () => {
          if (response.statusCode === 200) resolve({ kind: 'accepted' });
          else
            resolve({ kind: 'refused', reason: reason.trim() || `status ${response.statusCode}` });
        });
        response.on('error', (error) => unreachable(error.message));
      },
    );
    sent.on('error', (error: NodeJS.ErrnoException) =>
      unreachable(
        error.name === 'AbortError' || error.name === 'TimeoutError'
          ? `no answer on ${socketPath} within ${timeoutMs} ms`
          : `${socketPath}: ${error.code ?? error.message}`,
      ),
    );
    sent.end(body);
  });
}

function eventIp({ address, gateway, interface: index }: ResultIp): EventIp {
  const [ip = '', bits] = address.split('/');
  const length = ip.includes(':') ? 16 : 4;
  return {
    Interface: index ?? null,
    Address: { IP: ip, Mask: mask(length, bits === undefined ? length * 8 : Number(bits)) },
    Gateway: gateway ?? '',
  };
}

function mask(length: number, ones: number): string {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) {
    const here = Math.max(0, Math.min(8, ones - 8 * at));
    bytes[at] = 0xff << (8 - here);
  }
  return bytes.toString('base64');
}
