import { expect } from 'chai';
import { describe, it } from 'mocha';

import { runCommand } from '#linux/command.ts';
import { applyNft } from '#linux/nft.ts';
import { NetworkNamespace } from '#tests/support/network-namespace.ts';

async function addressesIn(netnsFd: number): Promise<string> {
  const result = await runCommand('ip', ['-4', '-o', 'address'], { netnsFd });
  return result.kind === 'exited' ? result.stdout : result.message;
}

describe('runCommand()', () => {
  it('runs in the namespace that it is given, also many at a time', async () => {
    using first = new NetworkNamespace('linux');
    using second = new NetworkNamespace('linux');
    first.run('ip', 'address', 'add', '10.0.0.1/32', 'dev', 'lo');
    second.run('ip', 'address', 'add', '10.0.0.2/32', 'dev', 'lo');
    const namespaces = Array.from({ length: 10 }, () => [first, second]).flat();
    const seen = await Promise.all(namespaces.map(({ fd }) => addressesIn(fd)));
    for (const [index, text] of seen.entries()) {
      expect(text).to.include(index % 2 === 0 ? '10.0.0.1/32' : '10.0.0.2/32');
      expect(text).to.not.include(index % 2 === 0 ? '10.0.0.2/32' : '10.0.0.1/32');
    }
  });
});

describe('applyNft()', () => {
  const table = 'table inet mesh {\n  chain output { type filter hook output priority 0; }\n}\n';

  it('applies a batch inside the namespace, and nowhere else', async () => {
    using namespace = new NetworkNamespace('linux');
    using other = new NetworkNamespace('linux');
    expect(await applyNft(namespace.fd, table)).to.deep.equal({ kind: 'applied' });
    expect(namespace.run('nft', 'list', 'tables')).to.equal('table inet mesh\n');
    expect(other.run('nft', 'list', 'tables')).to.equal('');
  });

  it('applies nothing of a batch with an error, and names the line', async () => {
    using namespace = new NetworkNamespace('linux');
    const batch = `${table}add rule inet mesh output tcp dport nonsense accept\n`;
    const result = await applyNft(namespace.fd, batch);
    expect(result.kind).to.equal('refused');
    expect(result).to.have.property('message').that.includes('nft refused line 4');
    expect(result).to.have.property('message').that.includes('tcp dport nonsense accept');
    expect(namespace.run('nft', 'list', 'tables')).to.equal('');
  });

  it('applies nothing when it is the kernel that refuses', async () => {
    using namespace = new NetworkNamespace('linux');
    const batch = `${table}add rule inet mesh missing accept\n`;
    const result = await applyNft(namespace.fd, batch);
    expect(result).to.have.property('message').that.includes('nft refused line 4');
    expect(namespace.run('nft', 'list', 'tables')).to.equal('');
  });
});
