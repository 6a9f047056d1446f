// The node agent's end of ZDS, as a program: hands the namespaces of pods to any node tunnel.
//
//   node tests/bed/zds-server.ts SOCKET [NETNS_PATH,UID,NAME,NAMESPACE,SERVICE_ACCOUNT …]
//
// On standard input: `add NETNS_PATH,UID,…` announces one more pod to the newest connection, `del UID`
// withdraws one from all, `raw HEX` sends these bytes as a request called "raw". Prints `hello N`,
// `ack UID`, `refused UID: why`, `snapshot acked` and `closed N: why`, with N the number of the connection. Every new connection gets the snapshot of
// what is announced at that time. Ends when standard input does.
import { createInterface } from 'node:readline';

import { errnoName } from '#linux/libc.ts';
import { acceptSeqpacket, listenSeqpacket } from '#linux/seqpacket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import { type Announcement, ZdsConnection, type ZdsReport } from './zds-connection.ts';

class ZdsServer implements EventHandler {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #pods: Map<string, Announcement>;
  readonly #connections: { readonly connection: ZdsConnection; open: boolean }[] = [];

  constructor(loop: Loop, fd: number, pods: readonly Announcement[]) {
    this.#loop = loop;
    this.fd = fd;
    this.#pods = new Map(pods.map((pod) => [pod.uid, pod]));
    loop.add(this, READABLE);
  }

  onEvents(): void {
    const fd = acceptSeqpacket(this.fd);
    if (fd < 0) return;
    const number = this.#connections.length + 1;
    const entry = {
      connection: new ZdsConnection(this.#loop, fd, (report) => {
        if (report.kind === 'closed') entry.open = false;
        print(number, report);
      }),
      open: true,
    };
    this.#connections.push(entry);
    entry.connection.snapshot(this.#pods.values());
  }

  onCommand(line: string): void {
    const [verb = '', argument = ''] = line.split(' ', 2);
    const open = this.#connections.filter((entry) => entry.open);
    if (verb === 'add') {
      const pod = readAnnouncement(argument);
      this.#pods.set(pod.uid, pod);
      open.at(-1)?.connection.add(pod);
    } else if (verb === 'del') {
      this.#pods.delete(argument);
      for (const { connection } of open) connection.delete(argument);
    } else if (verb === 'raw') {
      open.at(-1)?.connection.raw(Buffer.from(argument, 'hex'));
    } else if (line !== '') {
      const want = '"add NETNS_PATH,UID,…", "del UID" or "raw HEX"';
      throw new Error(`Cannot read command "${line}": want ${want}`);
    }
  }
}

function print(number: number, report: ZdsReport): void {
  process.stdout.write(`${describe(number, report)}\n`);
}

function describe(number: number, report: ZdsReport): string {
  switch (report.kind) {
    case 'hello':
      return `hello ${number}`;
    case 'ack':
      if (report.error !== '') return `refused ${report.of}: ${report.error}`;
      return report.of === 'snapshot' ? 'snapshot acked' : `ack ${report.of}`;
    case 'closed':
      return `closed ${number}: ${report.why}`;
  }
}

function readAnnouncement(text: string): Announcement {
  const parts = text.split(',');
  const [netns, uid, name, namespace, serviceAccount] = parts;
  if (netns && uid && name && namespace && serviceAccount && parts.length === 5) {
    return { netns, uid, name, namespace, serviceAccount };
  }
  throw new Error(`Cannot read pod "${text}": want NETNS_PATH,UID,NAME,NAMESPACE,SERVICE_ACCOUNT`);
}

const [path = '', ...announced] = process.argv.slice(2);
const listening = listenSeqpacket(path, { mode: 0o600 });
if ('errno' in listening) {
  throw new Error(`Cannot listen on "${path}" (${listening.call}): ${errnoName(listening.errno)}`);
}
const loop = await openThreadLoop();
loop.onFault = (error) => process.stderr.write(`${String(error)}\n`);
const server = new ZdsServer(loop, listening.fd, announced.map(readAnnouncement));
const commands = createInterface({ input: process.stdin });
commands.on('line', (line) => server.onCommand(line));
commands.on('close', () => loop.stop());
loop.start();
process.stdout.write('listening\n');
