import { closeSync, fstatSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import {
  Version,
  type WorkloadRequest,
  WorkloadRequestSchema,
  WorkloadResponseSchema,
  ZdsHelloSchema,
} from '#api/gen/zds_pb.ts';
import { connectSeqpacket, receivePacket, sendPacket } from '#linux/seqpacket.ts';
import { closeSocket } from '#reactor/socket.ts';
import { program, type Running, start } from '#tests/bed/process.ts';

const NETNS = '/proc/self/ns/net';
const PODS = [`${NETNS},uid-a,a,default,account-a`, `${NETNS},uid-b,b,shop,account-b`];

describe('tests/bed/zds-server.ts', () => {
  let directory: string;
  let server: Running;
  const clients: number[] = [];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ambit-zds-'));
    server = start(program('tests/bed/zds-server.ts', join(directory, 'socket'), ...PODS));
    await server.waitFor(/^listening$/);
  });

  afterEach(async () => {
    for (const fd of clients.splice(0)) closeSocket(fd);
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  it('announces each pod with its namespace, one at a time, then the end of the snapshot', async () => {
    const client = greet();
    const [first, fds] = await next(client);
    expect(first.payload).to.deep.include({ case: 'add' });
    expect(first.payload.value).to.deep.include({ uid: 'uid-a' });
    expect(fds).to.have.length(1);
    expect(fstatSync(fds[0] ?? -1).ino).to.equal(statSync(NETNS).ino);
    closeSync(fds[0] ?? -1);
    expect(receivePacket(client, 1024, 1).kind).to.equal('again');

    acknowledge(client);
    const [second, more] = await next(client);
    expect(second.payload.value).to.have.property('workloadInfo').that.deep.includes({
      name: 'b',
      namespace: 'shop',
      serviceAccount: 'account-b',
    });
    for (const fd of more) closeSync(fd);

    acknowledge(client);
    const [third, none] = await next(client);
    expect([third.payload.case, none]).to.deep.equal(['snapshotSent', []]);
    acknowledge(client);
    await server.waitFor(/^snapshot acked$/);
    expect(server.lines).to.deep.equal([
      'listening',
      'hello 1',
      'ack uid-a',
      'ack uid-b',
      'snapshot acked',
    ]);
  });

  it('reports the error of a refused pod and goes on', async () => {
    const client = greet();
    await discardNext(client);
    acknowledge(client, 'no such thing');
    await server.waitFor(/^refused uid-a: no such thing$/);
    expect((await discardNext(client)).payload.value).to.deep.include({ uid: 'uid-b' });
  });

  it('gives a second connection the snapshot, adds to the newest, deletes from all', async () => {
    const [old, young] = [greet(), greet()];
    for (const client of [old, young]) await takeSnapshot(client);

    server.tell(`add ${NETNS},uid-c,c,default,account-c`);
    expect((await discardNext(young)).payload.value).to.deep.include({ uid: 'uid-c' });
    acknowledge(young);
    await server.waitFor(/^ack uid-c$/);
    expect(receivePacket(old, 1024, 1).kind).to.equal('again');

    server.tell('del uid-a');
    for (const client of [old, young]) {
      expect((await discardNext(client)).payload).to.deep.include({ case: 'del' });
      acknowledge(client);
    }
    await server.waitFor(/^ack del uid-a$/);
  });

  it('hangs up on a client that speaks without being asked', async () => {
    const client = greet();
    await takeSnapshot(client);
    acknowledge(client);
    await server.waitFor(/^closed 1: the tunnel spoke without being asked$/);
    expect(receivePacket(client, 1024, 1).kind).to.equal('end');
  });

  it('notices that a client has gone', async () => {
    closeSocket(clients.splice(clients.indexOf(greet()), 1)[0] ?? -1);
    await server.waitFor(/^closed 1: /);
  });

  function greet(): number {
    const connected = connectSeqpacket(join(directory, 'socket'));
    if ('errno' in connected) throw new Error(`${connected.call}: ${connected.errno}`);
    clients.push(connected.fd);
    sendPacket(
      connected.fd,
      toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version: Version.V1 })),
      [],
    );
    return connected.fd;
  }

  async function takeSnapshot(client: number): Promise<void> {
    for (let request = 0; request < PODS.length + 1; request++) {
      await discardNext(client);
      const heard = server.lines.length;
      acknowledge(client);
      await server.waitFor(/ack/, 2_000, heard);
    }
  }
});

/** The next request and its descriptors; mocha's deadline ends the wait for one that never comes. */
async function next(client: number): Promise<[WorkloadRequest, readonly number[]]> {
  for (;;) {
    const received = receivePacket(client, 1024, 1);
    if (received.kind === 'packet') {
      return [fromBinary(WorkloadRequestSchema, received.bytes), received.fds];
    }
    if (received.kind !== 'again') throw new Error(`The connection has ended: ${received.kind}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

/** The next request, without its descriptors. */
async function discardNext(client: number): Promise<WorkloadRequest> {
  const [request, fds] = await next(client);
  for (const fd of fds) closeSync(fd);
  return request;
}

function acknowledge(client: number, error = ''): void {
  const response = create(WorkloadResponseSchema, { payload: { case: 'ack', value: { error } } });
  sendPacket(client, toBinary(WorkloadResponseSchema, response), []);
}
