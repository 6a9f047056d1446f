import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { close, EBADF } from '#linux/libc.ts';
import {
  duplicateNetns,
  inNetns,
  isDeserted,
  isNetns,
  netnsId,
  openNetns,
  selfCheckNetns,
} from '#linux/netns.ts';
import { listenTcp } from '#linux/socket.ts';
import { expectNoLeak, openDescriptors } from '#tests/support/descriptors.ts';
import { NetworkNamespace } from '#tests/support/network-namespace.ts';

import type { Switched } from './support/switching-worker.ts';

const here = (): string => readlinkSync('/proc/thread-self/ns/net');

/** Runs a module's text in a process of its own. */
function runProgram(
  program: string,
  wrapper: readonly string[] = [],
): { signal: string | null; status: number | null; stderr: string } {
  const command = [...wrapper, process.execPath, '--input-type=module-typescript', '-e', program];
  const { signal, status, stderr } = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
  return { signal, status, stderr };
}

describe('inNetns()', () => {
  it('works inside, answers what the work returns, and comes back', () => {
    using namespace = new NetworkNamespace('linux');
    const home = here();
    const inside = inNetns(namespace.fd, here);
    expect(inside).to.not.equal(home);
    expect(inside).to.equal(`net:[${netnsId(namespace.fd).split(':')[1]}]`);
    expect(here()).to.equal(home);
  });

  it('opens no descriptor of its own, however often it is called', () => {
    using namespace = new NetworkNamespace('linux');
    inNetns(namespace.fd, here);
    expectNoLeak(() => {
      for (let count = 0; count < 100; count++) inNetns(namespace.fd, here);
    });
  });

  it('comes back and throws what the work throws', () => {
    using namespace = new NetworkNamespace('linux');
    const home = here();
    expect(() =>
      inNetns(namespace.fd, () => {
        throw new Error(`no luck after ${home}`);
      }),
    ).to.throw('no luck');
    expect(here()).to.equal(home);
  });

  it('comes back to the namespace around it when nested', () => {
    using outer = new NetworkNamespace('linux');
    using inner = new NetworkNamespace('linux');
    const home = here();
    const seen = inNetns(outer.fd, () => [here(), inNetns(inner.fd, here), here()]);
    expect(seen[2]).to.equal(seen[0]);
    expect(new Set([home, ...seen]).size).to.equal(3);
    expect(here()).to.equal(home);
  });

  it('refuses work that returns a promise, after coming back', () => {
    using namespace = new NetworkNamespace('linux');
    const home = here();
    expect(() => inNetns(namespace.fd, () => Promise.resolve())).to.throw('is synchronous');
    expect(here()).to.equal(home);
  });

  it('says what is wrong with a descriptor that is no network namespace', () => {
    const file = openSync('/proc/self/ns/uts', 'r');
    expect(() => inNetns(file, here)).to.throw('EINVAL; want a descriptor of a network namespace');
    closeSync(file);
    expect(() => inNetns(9_999, here)).to.throw('EBADF');
  });

  for (const [where, mode] of [
    ['on the main thread', 'main'],
    ['in a worker', 'worker'],
  ] as const) {
    it(`ends the process when it can't come back ${where}`, () => {
      using namespace = new NetworkNamespace('linux');
      const program = fileURLToPath(new URL('./support/stranded.ts', import.meta.url));
      const { signal, stderr } = spawnSync(
        'sh',
        ['-c', 'ulimit -c 0; exec "$@"', 'sh', process.execPath, program, namespace.name, mode],
        { encoding: 'utf8' },
      );
      expect(stderr).to.include("Cannot leave a pod's network namespace (setns): EBADF");
      expect(signal).to.equal('SIGABRT');
    });
  }

  it('keeps two threads in two namespaces apart', async () => {
    using first = new NetworkNamespace('linux');
    using second = new NetworkNamespace('linux');
    const home = here();
    const before = openDescriptors();
    const url = new URL('./support/switching-worker.ts', import.meta.url);
    const results = await Promise.all(
      [first, second].map(
        ({ name }) =>
          new Promise<Switched>((resolve, reject) => {
            const worker = new Worker(url, { workerData: { name, rounds: 300 } });
            let switched: Switched;
            worker.once('message', (message: Switched) => {
              switched = message;
            });
            worker.once('error', reject);
            worker.once('exit', () => resolve(switched));
          }),
      ),
    );
    for (const [index, namespace] of [first, second].entries()) {
      const inode = netnsId(namespace.fd).split(':')[1];
      expect(results[index]!.inside).to.deep.equal([`net:[${inode}]`]);
      expect(results[index]!.outside).to.deep.equal([home]);
      expect(results[index]!.failures).to.deep.equal([]);
    }
    const leaked = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
    expect(leaked, 'descriptors that the threads left open').to.deep.equal([]);
    expect(here()).to.equal(home);
  });

  it('leaves a socket in the namespace in which it was made', () => {
    using namespace = new NetworkNamespace('linux');
    const address = { ip: '127.0.0.1' as never, port: 15_008 };
    const options = { address, transparent: false, reusePort: false, backlog: 1 };
    const inside = inNetns(namespace.fd, () => listenTcp(options));
    expect(inside).to.have.property('fd');
    expect(namespace.run('ss', '-Hltn')).to.include('127.0.0.1:15008');
    if ('fd' in inside) closeSync(inside.fd);
  });
});

describe('netnsId()', () => {
  it('is the same for two descriptors of one namespace and differs between namespaces', () => {
    using first = new NetworkNamespace('linux');
    using second = new NetworkNamespace('linux');
    const again = openNetns(`/run/netns/${first.name}`);
    expect(netnsId(again)).to.equal(netnsId(first.fd));
    expect(netnsId(second.fd)).to.not.equal(netnsId(first.fd));
    closeSync(again);
  });
});

describe('isNetns()', () => {
  it('knows network namespaces from other namespaces, files and closed descriptors', () => {
    using namespace = new NetworkNamespace('linux');
    expect(isNetns(namespace.fd)).to.equal(true);
    for (const path of ['/proc/self/ns/uts', '/dev/null']) {
      const other = openSync(path, 'r');
      expect(isNetns(other), path).to.equal(false);
      closeSync(other);
    }
    expect(isNetns(9_999)).to.equal(false);
  });
});

describe('duplicateNetns()', () => {
  it('keeps the namespace when the first descriptor is closed', () => {
    using namespace = new NetworkNamespace('linux');
    const first = openNetns(`/run/netns/${namespace.name}`);
    const second = duplicateNetns(first);
    close(first);
    expect(netnsId(second)).to.equal(netnsId(namespace.fd));
    close(second);
  });

  it('answers -EBADF for a closed descriptor', () => {
    expect(duplicateNetns(9_999)).to.equal(-EBADF);
  });
});

describe('isDeserted()', () => {
  it('tells when the last interface with an address has gone', () => {
    using namespace = new NetworkNamespace('linux');
    expect(isDeserted(namespace.fd)).to.equal(true);
    namespace.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'host0');
    namespace.run('ip', 'link', 'set', 'host0', 'up');
    namespace.run('ip', 'link', 'set', 'eth0', 'up');
    namespace.run('ip', 'address', 'add', '10.0.0.1/32', 'dev', 'eth0');
    expect(isDeserted(namespace.fd)).to.equal(false);
    namespace.run('ip', 'link', 'delete', 'eth0');
    expect(isDeserted(namespace.fd)).to.equal(true);
  });
});

describe('selfCheckNetns()', () => {
  const program = `import { selfCheckNetns } from '#linux/netns.ts';
    try { selfCheckNetns(); } catch (error) { process.stderr.write(String(error)); }`;

  it('is content with what these tests run with', () => {
    expectNoLeak(selfCheckNetns);
  });

  for (const capability of ['sys_admin', 'net_admin']) {
    it(`names ${capability.toUpperCase()} when it is missing`, () => {
      // NET_RAW allows to set a mark as well.
      const dropped = capability === 'net_admin' ? '-net_admin,-net_raw' : `-${capability}`;
      const { stderr } = runProgram(program, ['setpriv', `--bounding-set=${dropped}`]);
      expect(stderr).to.include(`CAP_${capability.toUpperCase()}`);
    });
  }
});
