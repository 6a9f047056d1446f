import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { Duplex } from 'node:stream';

import { kubeconfigCredentials } from '#kube/config.ts';

/** What a command in a container said and how it ended. */
export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: unknown;
}

export interface ExecRequest {
  readonly pod: string;
  readonly command: readonly string[];
  /** Given at once; the input ends after it. */
  readonly input?: string;
  readonly tty?: { readonly columns: number; readonly rows: number };
}

const PROTOCOL = 'v5.channel.k8s.io';
const BINARY_FINAL = 0x82;
const MASKED = 0x80;

/** Runs a command in a container through the API server, over a WebSocket as the clients of the cluster do. */
export async function execInPod(kubeconfig: string, wanted: ExecRequest): Promise<ExecResult> {
  const { socket, head } = await connect(kubeconfig, wanted);
  const said = new Map<number, Buffer[]>();
  let pending = head;
  const { promise, resolve } = Promise.withResolvers<void>();
  const take = (chunk: Buffer): void => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const frame = takeFrame(pending);
      if (frame === undefined) return;
      pending = pending.subarray(frame.length);
      if (frame.opcode === 2) {
        const channel = frame.payload[0] ?? 0;
        said.set(channel, [...(said.get(channel) ?? []), frame.payload.subarray(1)]);
      }
    }
  };
  socket.on('data', take).on('end', resolve).on('error', resolve).on('close', resolve);
  take(Buffer.alloc(0));
  if (wanted.tty !== undefined) {
    const { columns, rows } = wanted.tty;
    send(socket, 4, Buffer.from(JSON.stringify({ Width: columns, Height: rows })));
  }
  if (wanted.input !== undefined) {
    send(socket, 0, Buffer.from(wanted.input));
    send(socket, 255, Buffer.from([0]));
  }
  await promise;
  socket.destroy();
  const text = (channel: number): string => Buffer.concat(said.get(channel) ?? []).toString();
  return { stdout: text(1), stderr: text(2), status: JSON.parse(text(3) || 'null') };
}

async function connect(
  kubeconfig: string,
  { pod, command, input, tty }: ExecRequest,
): Promise<{ socket: Duplex; head: Buffer }> {
  const credentials = kubeconfigCredentials(readFileSync(kubeconfig, 'utf8'));
  const query = new URLSearchParams(command.map((word) => ['command', word]));
  query.set('stdout', 'true');
  if (input !== undefined) query.set('stdin', 'true');
  query.set(tty === undefined ? 'stderr' : 'tty', 'true');
  const path = `/api/v1/namespaces/default/pods/${pod}/exec?${query.toString()}`;
  const { promise, resolve, reject } = Promise.withResolvers<{ socket: Duplex; head: Buffer }>();
  request(`${credentials.server}${path}`, {
    ca: credentials.caPem,
    cert: credentials.clientCertificatePem,
    key: credentials.clientKeyPem,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol': PROTOCOL,
    },
  })
    .on('upgrade', (_, socket, head) => resolve({ socket, head }))
    .on('response', (answer) => reject(new Error(`the API server answered ${answer.statusCode}`)))
    .on('error', reject)
    .end();
  return promise;
}

function send(socket: Duplex, channel: number, payload: Buffer): void {
  const length = payload.length + 1;
  const head = Buffer.from([BINARY_FINAL, MASKED | 126, 0, 0, 0, 0, 0, 0, channel]);
  head.writeUInt16BE(length, 2);
  // The mask is zero, which changes nothing.
  socket.write(Buffer.concat([head, payload]));
}

function takeFrame(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < start) return undefined;
  const size =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < start + size) return undefined;
  const payload = bytes.subarray(start, start + size);
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload, length: start + size };
}
