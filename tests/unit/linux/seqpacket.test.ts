import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { EADDRINUSE, EAGAIN, ECONNREFUSED, ENAMETOOLONG, ENOENT } from '#linux/libc.ts';
import {
  acceptSeqpacket,
  connectSeqpacket,
  listenSeqpacket,
  PACKET_DESCRIPTORS_MAX,
  peerCredentials,
  type Received,
  receivePacket,
  sendPacket,
} from '#linux/seqpacket.ts';
import { expectNoLeak } from '#tests/support/descriptors.ts';

const text = (bytes: string): Uint8Array => new TextEncoder().encode(bytes);

let folder: string;
let path: string;
function setUp(): void {
  folder = mkdtempSync(join(tmpdir(), 'seqpacket-'));
  path = join(folder, 'socket');
}
function tearDown(): void {
  rmSync(folder, { recursive: true });
}

function fdOf(opened: { fd: number } | { errno: number; call: string }): number {
  if (!('fd' in opened)) throw new Error(`${opened.call}: ${opened.errno}`);
  return opened.fd;
}

/** Both ends of a connection, closed afterwards. */
function withPair(work: (client: number, server: number) => void): void {
  const listener = fdOf(listenSeqpacket(path, { mode: 0o600 }));
  const client = fdOf(connectSeqpacket(path));
  const server = acceptSeqpacket(listener);
  try {
    work(client, server);
  } finally {
    for (const fd of [client, server, listener]) closeSync(fd);
  }
}

function packet(received: Received): { text: string; fds: readonly number[] } {
  if (received.kind !== 'packet') throw new Error(`Received ${JSON.stringify(received)}`);
  return { text: Buffer.from(received.bytes).toString(), fds: received.fds };
}

describe('sendPacket() and receivePacket()', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('keep packets apart and in order, in both directions', () => {
    expectNoLeak(() =>
      withPair((client, server) => {
        expect(sendPacket(client, text('one'), [])).to.equal(3);
        expect(sendPacket(client, text('twenty'), [])).to.equal(6);
        expect(packet(receivePacket(server, 100, 0)).text).to.equal('one');
        expect(packet(receivePacket(server, 100, 1)).text).to.equal('twenty');
        expect(receivePacket(server, 100, 1)).to.deep.equal({ kind: 'again' });
        sendPacket(server, text('back'), []);
        expect(packet(receivePacket(client, 100, 1)).text).to.equal('back');
      }),
    );
  });

  it('pass a descriptor that stands for the same file and is not inherited', () => {
    expectNoLeak(() =>
      withPair((client, server) => {
        const file = join(folder, 'file');
        writeFileSync(file, 'content');
        const before = statSync(file);
        const opened = openSync(file, 'r');
        sendPacket(client, text('a file'), [opened]);
        closeSync(opened);
        const { fds } = packet(receivePacket(server, 100, 1));
        expect(fds).to.have.length(1);
        expect(statSync(`/proc/self/fd/${fds[0]}`).ino).to.equal(before.ino);
        const flags = /flags:\s*(\d+)/.exec(
          readFileSync(`/proc/self/fdinfo/${fds[0]}`, 'utf8'),
        )![1]!;
        expect(Number.parseInt(flags, 8) & 0o2000000, 'O_CLOEXEC').to.not.equal(0);
        closeSync(fds[0]!);
      }),
    );
  });

  it(`pass ${PACKET_DESCRIPTORS_MAX} descriptors in one packet`, () => {
    expectNoLeak(() =>
      withPair((client, server) => {
        sendPacket(
          client,
          text('many'),
          Array.from({ length: PACKET_DESCRIPTORS_MAX }, () => client),
        );
        const { fds } = packet(receivePacket(server, 100, PACKET_DESCRIPTORS_MAX));
        expect(new Set(fds).size).to.equal(PACKET_DESCRIPTORS_MAX);
        for (const fd of fds) closeSync(fd);
      }),
    );
  });

  for (const [sent, room] of [
    [1, 0],
    [2, 1],
    [3, 2],
    [PACKET_DESCRIPTORS_MAX, 1],
  ] as const) {
    it(`close what arrived when ${sent} descriptors come and ${room} are wanted`, () => {
      expectNoLeak(() =>
        withPair((client, server) => {
          sendPacket(
            client,
            text('too many'),
            Array.from({ length: sent }, () => client),
          );
          expect(receivePacket(server, 100, room)).to.deep.equal({ kind: 'truncated' });
        }),
      );
    });
  }

  it('close the descriptors of a packet that is too long', () => {
    expectNoLeak(() =>
      withPair((client, server) => {
        sendPacket(client, text('x'.repeat(101)), [client]);
        expect(receivePacket(server, 100, 1)).to.deep.equal({ kind: 'truncated' });
        sendPacket(client, text('x'.repeat(100)), []);
        expect(packet(receivePacket(server, 100, 1)).text).to.have.length(100);
      }),
    );
  });

  it('take packets of 100 KB', () => {
    withPair((client, server) => {
      expect(sendPacket(client, text('y'.repeat(100_000)), [])).to.equal(100_000);
      expect(packet(receivePacket(server, 200_000, 0)).text).to.equal('y'.repeat(100_000));
    });
  });

  it('answer -EAGAIN when the peer does not read', () => {
    withPair((client) => {
      let result = 0;
      for (let count = 0; count < 10_000 && result >= 0; count++) {
        result = sendPacket(client, text('z'.repeat(1_000)), []);
      }
      expect(result).to.equal(-EAGAIN);
    });
  });

  it('tell that the peer has closed', () => {
    const listener = fdOf(listenSeqpacket(path, { mode: 0o600 }));
    const client = fdOf(connectSeqpacket(path));
    const server = acceptSeqpacket(listener);
    closeSync(client);
    expect(receivePacket(server, 100, 1)).to.deep.equal({ kind: 'end' });
    expect(sendPacket(server, text('gone'), [])).to.be.lessThan(0);
    closeSync(server);
    closeSync(listener);
  });

  it('refuse to send an empty packet, which would look like the end', () => {
    withPair((client) => {
      expect(() => sendPacket(client, new Uint8Array(0), [])).to.throw('at least one byte');
    });
  });
});

describe('listenSeqpacket()', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('gives the socket file its mode', () => {
    const listener = fdOf(listenSeqpacket(path, { mode: 0o600 }));
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    closeSync(listener);
  });

  it('replaces a socket file that nobody listens on', () => {
    closeSync(fdOf(listenSeqpacket(path, { mode: 0o600 })));
    expect(existsSync(path)).to.equal(true);
    expect(connectSeqpacket(path)).to.deep.equal({ errno: -ECONNREFUSED, call: 'connect' });
    const listener = fdOf(listenSeqpacket(path, { mode: 0o600 }));
    closeSync(fdOf(connectSeqpacket(path)));
    closeSync(listener);
  });

  it('leaves a socket alone that somebody listens on', () => {
    const first = fdOf(listenSeqpacket(path, { mode: 0o600 }));
    expectNoLeak(() => {
      expect(listenSeqpacket(path, { mode: 0o600 })).to.deep.equal({
        errno: -EADDRINUSE,
        call: 'bind',
      });
    });
    closeSync(fdOf(connectSeqpacket(path)));
    closeSync(first);
  });

  it('leaves a file of another kind alone', () => {
    writeFileSync(path, 'precious');
    expect(listenSeqpacket(path, { mode: 0o600 })).to.have.property('errno', -EADDRINUSE);
    expect(readFileSync(path, 'utf8')).to.equal('precious');
  });

  it('says that a path is too long', () => {
    const long = join(folder, 'p'.repeat(120));
    expect(listenSeqpacket(long, { mode: 0o600 })).to.have.property('errno', -ENAMETOOLONG);
    expect(connectSeqpacket(long)).to.have.property('errno', -ENAMETOOLONG);
  });
});

describe('connectSeqpacket()', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('leaves nothing open when nobody is there', () => {
    expectNoLeak(() => {
      expect(connectSeqpacket(path)).to.deep.equal({ errno: -ENOENT, call: 'connect' });
    });
  });
});

describe('peerCredentials()', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('names the process at the other end', () => {
    withPair((client, server) => {
      const self = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
      expect(peerCredentials(client)).to.deep.equal(self);
      expect(peerCredentials(server)).to.deep.equal(self);
    });
  });

  it('tells another process from this one', () => {
    const listener = fdOf(listenSeqpacket(path, { mode: 0o600 }));
    const program = `import { connectSeqpacket } from '#linux/seqpacket.ts'; connectSeqpacket(${JSON.stringify(path)});`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
    expect(child.stderr.toString()).to.equal('');
    const server = acceptSeqpacket(listener);
    expect(peerCredentials(server)!.pid).to.equal(child.pid);
    closeSync(server);
    closeSync(listener);
  });
});
