// Records the packets of one interface of the namespace it runs in, as a pcap file.
//
//   node tests/bed/programs/capture.ts INTERFACE FILE
//
// Prints `capturing` when every packet from then on is recorded. A line on standard input ends it; then it
// prints `captured N packets, M lost`: only with M = 0 has everything been seen.
import { spawnSync } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';

import { invariant } from '#common/assert.ts';
import {
  bind,
  errno,
  errnoName,
  getsockopt,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  setsockopt,
  socket,
} from '#linux/libc.ts';
import { type EventHandler, READABLE } from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { receiveInto } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_RCVBUF = 8;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
/** Room for bursts while this program is not scheduled. */
const BUFFER_BYTES = 32 * 1024 * 1024;
/** veth hands over packets before segmentation: up to 64 KB and headers. */
const PACKET_BYTES_MAX = 128 * 1024;
const LINK_TYPE_ETHERNET = 1;

class Recorder implements EventHandler {
  readonly fd: number;
  readonly #slab = allocateSlab(PACKET_BYTES_MAX);
  readonly #file: number;
  packets = 0;

  constructor(fd: number, path: string) {
    this.fd = fd;
    this.#file = openSync(path, 'w', 0o600);
    writeSync(this.#file, fileHeader());
  }

  onEvents(): void {
    for (;;) {
      const length = receiveInto(this.fd, this.#slab, 0, PACKET_BYTES_MAX);
      if (length < 0) return;
      this.packets++;
      writeSync(this.#file, packetHeader(length));
      writeSync(this.#file, this.#slab.bytes, 0, length);
    }
  }
}

function openPacketSocket(device: string): number {
  const protocol = Buffer.alloc(2);
  protocol.writeUInt16BE(ETH_P_ALL);
  // Protocol 0: nothing arrives before bind() has said from which interface.
  const fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  invariant(fd >= 0, `socket(AF_PACKET): ${errnoName(errno())}`);
  setBuffer(fd);
  const address = Buffer.alloc(20); // struct sockaddr_ll
  address.writeUInt16LE(AF_PACKET, 0);
  protocol.copy(address, 2);
  address.writeInt32LE(interfaceIndex(device), 4);
  invariant(bind(fd, address, address.length) === 0, `bind to ${device}: ${errnoName(errno())}`);
  return fd;
}

function setBuffer(fd: number): void {
  const size = Buffer.alloc(4);
  size.writeInt32LE(BUFFER_BYTES);
  // The first is not for root of a user namespace; the second is cut to what the machine allows.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, 4) < 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, size, 4);
  }
}

function lostPackets(fd: number): number {
  const statistics = Buffer.alloc(8); // struct tpacket_stats
  const length = Buffer.from([8, 0, 0, 0]);
  invariant(
    getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, statistics, length) === 0,
    `PACKET_STATISTICS: ${errnoName(errno())}`,
  );
  return statistics.readUInt32LE(4);
}

function interfaceIndex(device: string): number {
  const shown = spawnSync('ip', ['-oneline', 'link', 'show', 'dev', device], { encoding: 'utf8' });
  if (shown.status !== 0) throw new Error(`Cannot capture: ${shown.stderr.trim()}`);
  return Number.parseInt(shown.stdout, 10);
}

function fileHeader(): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(PACKET_BYTES_MAX, 16);
  header.writeUInt32LE(LINK_TYPE_ETHERNET, 20);
  return header;
}

function packetHeader(length: number): Buffer {
  const header = Buffer.alloc(16);
  const now = Date.now();
  header.writeUInt32LE(Math.floor(now / 1000), 0);
  header.writeUInt32LE((now % 1000) * 1000, 4);
  header.writeUInt32LE(length, 8);
  header.writeUInt32LE(length, 12);
  return header;
}

const [device = '', path = ''] = process.argv.slice(2);
const recorder = new Recorder(openPacketSocket(device), path);
const loop = await openThreadLoop();
loop.add(recorder, READABLE);
process.stdin.once('data', () => {
  loop.stop();
  process.stdin.destroy();
  recorder.onEvents(); // what has arrived before we were told to end
  process.stdout.write(`captured ${recorder.packets} packets, ${lostPackets(recorder.fd)} lost\n`);
});
loop.start();
process.stdout.write('capturing\n');
