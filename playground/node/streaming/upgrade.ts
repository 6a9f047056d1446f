import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import type { Kubelet } from '../kubelet.ts';

import { AttachSession } from './attach-session.ts';
import { CommandSession } from './command-session.ts';
import { forwardPorts, PORT_FORWARD_PROTOCOL } from './port-forward.ts';
import {
  forwardPortsOverWebSocket,
  PORT_FORWARD_WEBSOCKET_PROTOCOL,
  portsOf,
} from './port-forward-websocket.ts';
import type { Session, SessionSink, WantedStreams } from './session.ts';
import { SPDY_PROTOCOL, sessionOverSpdy } from './session-spdy.ts';
import { sessionOverWebSocket, WEBSOCKET_PROTOCOLS } from './session-websocket.ts';
import { acceptKey } from './websocket.ts';

/** A refusal, which is an ordinary answer. */
interface Refusal {
  readonly code: 400 | 403 | 404;
  readonly message: string;
}

type Upgraded = (socket: Duplex, head: Buffer) => void;

interface Accepted {
  readonly headers: readonly string[];
  readonly run: Upgraded;
}

/** Answers a request that wants to become something else than HTTP: exec, attach and port-forward. */
export function handleUpgrade(
  kubelet: Kubelet,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  socket.on('error', () => socket.destroy());
  const answer = decide(kubelet, request);
  if ('code' in answer) {
    const { code, message } = answer;
    const text = `${message}\n`;
    const lines = [
      `HTTP/1.1 ${code} ${REASONS[code]}`,
      'Content-Type: text/plain',
      `Content-Length: ${Buffer.byteLength(text)}`,
      'Connection: close',
    ];
    socket.end(`${lines.join('\r\n')}\r\n\r\n${text}`);
    return;
  }
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', ...answer.headers];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  answer.run(socket, head);
}

const REASONS = { 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found' } as const;

function decide(kubelet: Kubelet, request: IncomingMessage): Accepted | Refusal {
  const url = new URL(request.url ?? '/', 'https://kubelet');
  const [, what = '', namespace = '', podName = '', containerName = ''] = url.pathname
    .split('/')
    .map((part) => decodeURIComponent(part));
  const worker = kubelet.find(namespace, podName);
  if (worker === undefined) {
    return { code: 404, message: `pod ${JSON.stringify(podName)} does not exist` };
  }
  if (what === 'portForward') {
    if (!wantsWebSocket(request)) {
      return spdy(request, PORT_FORWARD_PROTOCOL, (socket, head) =>
        forwardPorts(socket, head, worker.netns),
      );
    }
    const ports = portsOf(url.searchParams);
    if (ports === undefined) {
      const message = `query parameter "ports" has to name ports: ${url.searchParams.toString()}`;
      return { code: 400, message };
    }
    return webSocket(request, [PORT_FORWARD_WEBSOCKET_PROTOCOL], (socket, head) =>
      forwardPortsOverWebSocket(socket, head, { netns: worker.netns, ports }),
    );
  }
  if (what !== 'exec' && what !== 'attach')
    return { code: 404, message: `there is no ${JSON.stringify(what)} here` };
  const runner = worker.container(containerName);
  const container = runner?.process;
  if (container === undefined) {
    const why =
      runner === undefined
        ? `container not found (${JSON.stringify(containerName)})`
        : `container ${JSON.stringify(containerName)} is not running`;
    return { code: 400, message: `unable to upgrade connection: ${why}` };
  }
  const { searchParams } = url;
  const wanted = wantedStreams(searchParams);
  if (what === 'attach') {
    const { hasTerminal, hasInput } = container;
    // What the container has not, nobody can have of it.
    const there = { ...wanted, tty: hasTerminal, stdin: wanted.stdin && hasInput };
    return session(request, wanted, (sink) => new AttachSession(container, there, sink));
  }
  const command = { ...wanted, command: searchParams.getAll('command') };
  return session(request, wanted, (sink) => new CommandSession(container, command, sink));
}

function session(
  request: IncomingMessage,
  wanted: WantedStreams,
  start: (sink: SessionSink) => Session,
): Accepted | Refusal {
  if (!wantsWebSocket(request)) {
    return spdy(request, SPDY_PROTOCOL, (socket, head) =>
      sessionOverSpdy(socket, head, wanted, start),
    );
  }
  return webSocket(request, WEBSOCKET_PROTOCOLS, (socket, head) =>
    sessionOverWebSocket(socket, head, start),
  );
}

function wantsWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** Takes the first of our `protocols` that the client offers as well. */
function webSocket(
  request: IncomingMessage,
  protocols: readonly string[],
  run: Upgraded,
): Accepted | Refusal {
  const offered = list(request.headers['sec-websocket-protocol']);
  const protocol = protocols.find((each) => offered.includes(each));
  const key = request.headers['sec-websocket-key'];
  if (protocol === undefined || key === undefined) return unknownProtocol(offered);
  return {
    headers: [
      'Upgrade: websocket',
      `Sec-WebSocket-Accept: ${acceptKey(key)}`,
      `Sec-WebSocket-Protocol: ${protocol}`,
    ],
    run,
  };
}

function spdy(request: IncomingMessage, protocol: string, run: Upgraded): Accepted | Refusal {
  const offered = list(request.headers['x-stream-protocol-version']);
  const isSpdy = request.headers.upgrade?.toLowerCase() === 'spdy/3.1';
  // A client that says nothing takes what there is.
  const isKnown = offered.length === 0 || offered.includes(protocol);
  if (!isSpdy || !isKnown) return unknownProtocol(offered);
  return {
    headers: ['Upgrade: SPDY/3.1', `X-Stream-Protocol-Version: ${protocol}`],
    run,
  };
}

function unknownProtocol(offered: readonly string[]): Refusal {
  const message = `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}]`;
  return { code: 403, message };
}

function wantedStreams(query: URLSearchParams): WantedStreams {
  const flag = (name: string): boolean => ['1', 'true'].includes(query.get(name) ?? '');
  return {
    stdin: flag('stdin') || flag('input'),
    stdout: flag('stdout') || flag('output'),
    stderr: flag('stderr') || flag('error'),
    tty: flag('tty'),
  };
}

function list(header: string | readonly string[] | undefined): readonly string[] {
  return [header ?? '']
    .flat()
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '');
}
