import { closeSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { EADDRNOTAVAIL, errnoName, getsockopt } from '#linux/libc.ts';
import { inNetns } from '#linux/netns.ts';
import { originalDestination } from '#linux/original-destination.ts';
import {
  acceptTcp,
  type ConnectOptions,
  connectTcp,
  type ListenOptions,
  listenTcp,
  localAddress,
  peerAddress,
  type SocketFailure,
  setMark,
} from '#linux/socket.ts';
import { NetworkNamespace } from '#tests/support/network-namespace.ts';

const MARK = 0x539;
const at = (text: string): SocketAddress => parseSocketAddress(text)!;

function succeeded<T extends { readonly fd: number }>(result: T | SocketFailure): T {
  if ('errno' in result) throw new Error(`${result.call}: ${errnoName(result.errno)}`);
  return result;
}

const listenOptions = { transparent: true, reusePort: true, backlog: 128, mark: MARK };
const listening = (address: string, more: Partial<ListenOptions> = {}): number =>
  succeeded(listenTcp({ ...listenOptions, address: at(address), ...more })).fd;
const connecting = (options: ConnectOptions): number => succeeded(connectTcp(options)).fd;

function markOf(fd: number): number {
  const value = Buffer.alloc(4);
  getsockopt(fd, 1, 36, value, Buffer.from([4, 0, 0, 0]));
  return value.readInt32LE(0);
}

/** A pod that answers to foreign source addresses as the redirection rules make it do. */
function pod(): NetworkNamespace {
  const namespace = new NetworkNamespace('linux');
  for (const [family, foreign] of [
    ['-4', '203.0.113.0/24'],
    ['-6', '2001:db8::/32'],
  ] as const) {
    namespace.run('ip', family, 'rule', 'add', 'to', foreign, 'lookup', '100');
    namespace.run('ip', family, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', '100');
  }
  return namespace;
}

describe('listenTcp()', () => {
  it('marks the listener, and so what it accepts', () => {
    using namespace = new NetworkNamespace('linux');
    inNetns(namespace.fd, () => {
      const listener = listening('[::]:15008');
      const client = connecting({ to: at('127.0.0.1:15008'), mark: 7 });
      const accepted = acceptTcp(listener);
      expect([markOf(listener), markOf(accepted), markOf(client)]).to.deep.equal([MARK, MARK, 7]);
      expect(setMark(accepted, 8)).to.equal(0);
      expect(markOf(accepted)).to.equal(8);
      for (const fd of [listener, client, accepted]) closeSync(fd);
    });
  });

  it('says that transparency was granted', () => {
    using namespace = new NetworkNamespace('linux');
    for (const address of ['0.0.0.0:15006', '[::]:15006']) {
      const opened = inNetns(namespace.fd, () =>
        succeeded(listenTcp({ ...listenOptions, address: at(address) })),
      );
      expect(opened.transparent, address).to.equal(true);
      closeSync(opened.fd);
    }
  });

  it('answers with an error when the namespace has no IPv6', () => {
    using namespace = new NetworkNamespace('linux');
    namespace.run('sysctl', '-q', '-w', 'net.ipv6.conf.all.disable_ipv6=1');
    inNetns(namespace.fd, () => {
      expect(
        listenTcp({ ...listenOptions, transparent: false, address: at('[::1]:15053') }),
      ).to.deep.equal({
        errno: -EADDRNOTAVAIL,
        call: 'bind',
      });
      closeSync(listening('0.0.0.0:15053'));
    });
  });
});

describe('connectTcp()', () => {
  for (const [to, from] of [
    ['127.0.0.1:8080', '203.0.113.9:0'],
    ['[::1]:8080', '[2001:db8::9]:0'],
  ] as const) {
    it(`comes from ${from}, which is not ours`, () => {
      using namespace = pod();
      inNetns(namespace.fd, () => {
        const listener = listening('[::]:8080');
        const client = connecting({ to: at(to), from: at(from), mark: MARK });
        const accepted = acceptTcp(listener);
        expect(accepted, errnoName(accepted)).to.be.greaterThan(0);
        expect(peerAddress(accepted)!.ip).to.equal(at(from).ip);
        expect(peerAddress(accepted)).to.deep.equal(localAddress(client));
        for (const fd of [listener, client, accepted]) closeSync(fd);
      });
    });
  }

  it('gives one source address its ports again for every destination', () => {
    using namespace = pod();
    namespace.run('sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=40000 40009');
    inNetns(namespace.fd, () => {
      const listeners = [8_081, 8_082, 8_083].map((port) => listening(`127.0.0.1:${port}`));
      const clients = [8_081, 8_082, 8_083].flatMap((port) =>
        Array.from({ length: 10 }, () =>
          connecting({ to: at(`127.0.0.1:${port}`), from: at('203.0.113.9:0') }),
        ),
      );
      expect(clients).to.have.length(30);
      const eleventh = connectTcp({ to: at('127.0.0.1:8081'), from: at('203.0.113.9:0') });
      expect(eleventh).to.deep.equal({ errno: -EADDRNOTAVAIL, call: 'connect' });
      for (const fd of [...listeners, ...clients]) closeSync(fd);
    });
  });
});

describe('originalDestination()', () => {
  for (const [dialled, table] of [
    ['10.96.0.10:80', 'ip'],
    ['[fd00:96::10]:80', 'ip6'],
  ] as const) {
    it(`is where a redirected connection to ${dialled} was going`, () => {
      using namespace = new NetworkNamespace('linux');
      namespace.run('ip', 'route', 'add', 'local', '10.96.0.0/16', 'dev', 'lo');
      namespace.run('ip', '-6', 'route', 'add', 'local', 'fd00:96::/32', 'dev', 'lo');
      const hook = '{ type nat hook output priority -100; }';
      for (const command of [
        `add table ${table} nat`,
        `add chain ${table} nat output ${hook}`,
        `add rule ${table} nat output tcp dport 80 redirect to :15001`,
      ]) {
        namespace.run('nft', command);
      }
      inNetns(namespace.fd, () => {
        const listener = listening('[::]:15001');
        const client = connecting({ to: at(dialled) });
        const accepted = acceptTcp(listener);
        expect(accepted, errnoName(accepted)).to.be.greaterThan(0);
        expect(localAddress(accepted)!.port).to.equal(15_001);
        expect(originalDestination(accepted)).to.deep.equal(at(dialled));
        for (const fd of [listener, client, accepted]) closeSync(fd);
      });
    });
  }

  for (const dialled of ['127.0.0.1:15001', '[::1]:15001']) {
    it(`is the address that was reached when nothing redirects ${dialled}`, () => {
      using namespace = new NetworkNamespace('linux');
      inNetns(namespace.fd, () => {
        const listener = listening('[::]:15001');
        const client = connecting({ to: at(dialled) });
        const accepted = acceptTcp(listener);
        expect(originalDestination(accepted)).to.deep.equal(at(dialled));
        for (const fd of [listener, client, accepted]) closeSync(fd);
      });
    });
  }
});
