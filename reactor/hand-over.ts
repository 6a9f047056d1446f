import { closeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';

import { createMemfd, readMemfd } from '#linux/memfd.ts';

import { ChannelError, type Packet, type PacketChannel } from './packet-channel.ts';
import { closeSocket } from './socket.ts';

/** Descriptors in one packet (SCM_MAX_FD). */
const DESCRIPTORS_PER_PACKET = 253;
/** A state larger than this is not believed: 100,000 connections are some 200 MB. */
const STATE_BYTES_MAX = 1_073_741_824;
const DESCRIPTORS_MAX = 1_048_576;

interface Header {
  readonly bytes: number;
  readonly descriptors: number;
}

/**
 * Sends a state (plain structured-cloneable data) and the descriptors that it names to another process. The
 * state holds keys: it travels in a memory file without a name, of which only the descriptor is sent.
 */
export async function sendState(
  channel: PacketChannel,
  state: unknown,
  descriptors: readonly number[],
  deadlineMs: number,
): Promise<void> {
  const bytes = serialize(state);
  const file = createMemfd('hand-over', bytes);
  try {
    const header: Header = { bytes: bytes.length, descriptors: descriptors.length };
    await channel.send(Buffer.from(JSON.stringify(header)), [file], deadlineMs);
  } finally {
    bytes.fill(0);
    closeSync(file);
  }
  for (let at = 0; at < descriptors.length; at += DESCRIPTORS_PER_PACKET) {
    const some = descriptors.slice(at, at + DESCRIPTORS_PER_PACKET);
    await channel.send(Buffer.from('+'), some, deadlineMs);
  }
}

/**
 * What {@link sendState} sends. `wipe` overwrites the received bytes, keys among them: call it when every byte
 * array of the state has been copied. Whatever goes wrong, no descriptor stays open.
 */
export async function receiveState(
  channel: PacketChannel,
  deadlineMs: number,
): Promise<{
  readonly state: unknown;
  readonly descriptors: readonly number[];
  readonly wipe: () => void;
}> {
  const first = await channel.receive(deadlineMs);
  const descriptors: number[] = [];
  try {
    const header = readHeader(first);
    const { state, wipe } = readStateFile(first.fds[0] as number, header.bytes);
    while (descriptors.length < header.descriptors) {
      const { fds } = await channel.receive(deadlineMs);
      descriptors.push(...fds);
      if (fds.length === 0) throw new ChannelError('a packet came without its descriptors');
    }
    if (descriptors.length > header.descriptors)
      throw new ChannelError('too many descriptors came');
    return { state, descriptors, wipe };
  } catch (error) {
    for (const fd of descriptors) closeSocket(fd);
    throw error;
  } finally {
    for (const fd of first.fds) closeSocket(fd);
  }
}

function readHeader(packet: Packet): Header {
  const refuse = new ChannelError('the state of the other process can not be read');
  if (packet.fds.length !== 1) throw refuse;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(packet.bytes).toString('utf8'));
  } catch {
    throw refuse;
  }
  if (typeof parsed !== 'object' || parsed === null) throw refuse;
  const { bytes, descriptors } = parsed as Partial<Header>;
  if (!isCount(bytes, STATE_BYTES_MAX) || !isCount(descriptors, DESCRIPTORS_MAX)) throw refuse;
  return { bytes, descriptors };
}

function readStateFile(fd: number, length: number): { state: unknown; wipe: () => void } {
  const bytes = readMemfd(fd, length);
  if (typeof bytes === 'string') throw new ChannelError(bytes);
  if (bytes.length !== length) throw new ChannelError('the state is not complete');
  try {
    // Byte arrays of the result are views of these bytes, which therefore stay until the caller wipes them.
    return { state: deserialize(bytes) as unknown, wipe: () => bytes.fill(0) };
  } catch {
    bytes.fill(0);
    throw new ChannelError('the state of the other process can not be read');
  }
}

function isCount(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
}
