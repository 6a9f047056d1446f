import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { readTcpPackets, type TcpPacket } from '../tcp-packets.ts';
import { hold, type Shop } from './shop.ts';

/** A pod on each node that sees the node's wire: where tcpdump runs. */
export function wireTap(node: string, namespace: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `wire-${node}`, namespace, labels: { app: 'wire' } },
    spec: {
      nodeName: node,
      hostNetwork: true,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'tap', image: 'ambit/curl', securityContext: { privileged: true } }],
    },
  };
}

export interface Recorded<T> {
  readonly result: T;
  readonly bytes: Buffer;
  readonly packets: readonly TcpPacket[];
}

const START_DEADLINE_MS = 20_000;
// Ends with its standard input: whoever started it may end without a word.
const RECORD =
  'tcpdump -i eth0 -s 0 -U --immediate-mode -w - "$1" & P=$!; read -r _; sleep 0.3; kill -INT $P; wait $P';

/** Records what passes a node's wire and matches `filter` (as tcpdump has it) while `action` runs. */
export async function recordWire<T>(
  shop: Shop,
  tap: { readonly namespace: string; readonly node: string },
  filter: string,
  action: () => Promise<T>,
): Promise<Recorded<T>> {
  const command = ['exec', '-i', '-n', tap.namespace, `wire-${tap.node}`, '--', 'sh', '-c'];
  const child = spawn('kubectl', [...command, RECORD, 'sh', filter], {
    env: { ...process.env, KUBECONFIG: shop.kubeconfig },
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  const said: string[] = [];
  const listening = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`tcpdump did not start: ${said.join(' ')}`)),
      START_DEADLINE_MS,
    );
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      if (!line.includes('listening on')) return;
      clearTimeout(timer);
      resolve();
    });
    ended.then(
      () => reject(new Error(`tcpdump ended: ${said.join(' ')}`)),
      (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))),
    );
  });
  try {
    await listening;
    const result = await action();
    child.stdin.write('enough\n');
    await ended;
    const dropped = said.find((line) => /^[1-9]\d* packets? dropped by kernel/.test(line));
    hold(dropped === undefined, `The recording has gaps and proves nothing: ${dropped}`);
    const bytes = Buffer.concat(chunks);
    return { result, bytes, packets: readTcpPackets(bytes) };
  } finally {
    child.kill('SIGKILL');
  }
}
