import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress } from '#common/net/address.ts';
import { EAGAIN, ECONNREFUSED, ECONNRESET } from '#linux/libc.ts';
import { acceptTcp, connectTcp, listenTcp, localAddress } from '#linux/socket.ts';
import { allocateSlab } from '#reactor/memory.ts';
import {
  closeSocket,
  isPeerGone,
  receiveInto,
  sendFrom,
  setLinger0,
  shutdownWrite,
  socketError,
} from '#reactor/socket.ts';

const options = { transparent: false, reusePort: false, backlog: 8 };

function fdOf(opened: { readonly fd: number } | { readonly errno: number }): number {
  if ('errno' in opened) throw new Error(`errno ${opened.errno}`);
  return opened.fd;
}

describe('the socket functions', () => {
  const slab = allocateSlab(1 << 20);
  let listener: number;
  let client: number;
  let server: number;

  beforeEach(() => {
    listener = fdOf(listenTcp({ ...options, address: parseSocketAddress('127.0.0.1:0')! }));
    client = fdOf(connectTcp({ to: localAddress(listener)! }));
    server = acceptTcp(listener);
  });

  afterEach(() => {
    for (const fd of [listener, client, server]) closeSocket(fd);
  });

  it('sendFrom() and receiveInto() move the bytes of a range and no others', () => {
    slab.bytes.fill(0xee);
    slab.bytes.write('range', 10);
    expect(sendFrom(client, slab, 10, 5)).to.equal(5);
    slab.bytes.fill(0xee);
    expect(receiveInto(server, slab, 100, 50)).to.equal(5);
    expect(slab.bytes.toString('latin1', 100, 105)).to.equal('range');
    expect(slab.bytes[99]).to.equal(0xee);
    expect(slab.bytes[105]).to.equal(0xee);
  });

  it('receiveInto() answers -EAGAIN while there is nothing, and 0 at the end', () => {
    expect(receiveInto(server, slab, 0, 10)).to.equal(-EAGAIN);
    expect(shutdownWrite(client)).to.equal(0);
    expect(receiveInto(server, slab, 0, 10)).to.equal(0);
  });

  it('receiveInto() refuses to read nothing, which would look like the end', () => {
    expect(() => receiveInto(server, slab, 0, 0)).to.throw(RangeError, 'no room');
  });

  it('receiveInto() and sendFrom() refuse a range outside of the slab', () => {
    expect(() => receiveInto(server, slab, 1, slab.size)).to.throw(RangeError);
    expect(() => sendFrom(client, slab, slab.size, 1)).to.throw(RangeError);
  });

  it('sendFrom() answers -EAGAIN when the socket takes no more', () => {
    let result = 1;
    while (result > 0) result = sendFrom(client, slab, 0, slab.size);
    expect(result).to.equal(-EAGAIN);
  });

  it('shutdownWrite() leaves the other direction open', () => {
    shutdownWrite(client);
    slab.bytes.write('answer');
    expect(sendFrom(server, slab, 0, 6)).to.equal(6);
    expect(receiveInto(client, slab, 10, 100)).to.equal(6);
  });

  it('setLinger0() makes the close a reset', () => {
    setLinger0(client);
    closeSocket(client);
    const result = receiveInto(server, slab, 0, 10);
    expect(result).to.equal(-ECONNRESET);
    expect(isPeerGone(result)).to.equal(true);
    client = fdOf(connectTcp({ to: localAddress(listener)! }));
  });

  it('sendFrom() answers -EPIPE, and raises no signal, after the connection was reset', () => {
    setLinger0(client);
    closeSocket(client);
    receiveInto(server, slab, 0, 10);
    const result = sendFrom(server, slab, 0, 10);
    expect(isPeerGone(result)).to.equal(true);
    client = fdOf(connectTcp({ to: localAddress(listener)! }));
  });

  it('socketError() tells why connecting failed, once', () => {
    const to = localAddress(listener)!;
    closeSocket(listener);
    const refused = fdOf(connectTcp({ to }));
    expect(socketError(refused)).to.equal(-ECONNREFUSED);
    expect(socketError(refused)).to.equal(0);
    closeSocket(refused);
    listener = fdOf(listenTcp({ ...options, address: parseSocketAddress('127.0.0.1:0')! }));
  });
});
