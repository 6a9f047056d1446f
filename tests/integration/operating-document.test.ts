import { readFileSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseLocalConfig } from '#dataplane/state/local-config.ts';
import { program, run } from '#tests/bed/process.ts';

const text = readFileSync('docs/operating.md', 'utf8');

describe('docs/operating.md', () => {
  it('names every variable that the program reads', () => {
    const code = [
      'ztunnel/config.ts',
      'dataplane/control-plane-config.ts',
      'ztunnel/worker-threads.ts',
    ].map((path) => readFileSync(path, 'utf8'));
    const names = [...code.join('\n').matchAll(/'([A-Z][A-Z0-9]*_[A-Z0-9_]+)'/g)].map(
      ([, name = '']) => name,
    );
    expect(names.length).to.be.greaterThan(50);
    expect(names.filter((name) => !text.includes(`\`${name}`))).to.deep.equal([]);
  });

  it('shows a mesh that can be read', () => {
    const example = /```yaml\n([^`]+)```/.exec(text)?.[1] ?? '';
    const read = parseLocalConfig(example, 'docs/operating.md');
    expect(read.kind === 'refused' ? read.problems : []).to.deep.equal([]);
    if (read.kind === 'ok') expect(read.snapshot.workloads).to.have.length(2);
  });
});

describe('ztunnel/main.ts', () => {
  it('shows with --help where its settings are described', async () => {
    const { code, stdout } = await run(program('ztunnel/main.ts', '--help'));
    expect(stdout).to.include('docs/operating.md');
    expect(code).to.equal(0);
  });

  it('refuses every other argument before it starts', async () => {
    const { code, stderr } = await run(program('ztunnel/main.ts', '--port=1'));
    expect(stderr).to.include('Unknown argument "--port=1"');
    expect(stderr).to.include('docs/operating.md');
    expect(code).to.equal(1);
  });
});

describe('istiod/main.ts', () => {
  it('shows with --help what it is, and refuses every other argument', async () => {
    const { code, stdout } = await run(program('istiod/main.ts', '--help'));
    expect([code, stdout.split('\n')[0]]).to.deep.equal([
      0,
      'Usage: node_modules/.bin/node istiod/main.ts',
    ]);
    const refused = await run(program('istiod/main.ts', 'serve'));
    expect(refused.stderr).to.include('Unknown argument "serve"');
    expect(refused.code).to.equal(1);
  });

  it('tells of all settings that are wrong, and ends', async () => {
    const env = { LOG_FORMAT: 'loud', KUBECONFIG: '' };
    const { code, stderr } = await run(program('istiod/main.ts'), { env });
    expect(stderr).to.include('istiod cannot start').and.include('LOG_FORMAT');
    expect(code).to.equal(1);
  });
});

describe('docs/operating-cni.md', () => {
  it('names every variable that the node agent reads', () => {
    const code = readFileSync('cni/agent/config.ts', 'utf8');
    const names = [...code.matchAll(/'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)'/g)].flatMap(([, name]) =>
      name === undefined || name.length < 6 ? [] : [name],
    );
    const described = readFileSync('docs/operating-cni.md', 'utf8');
    expect(names.length).to.be.greaterThan(30);
    expect(names.filter((name) => !described.includes(`\`${name}\``))).to.deep.equal([]);
  });
});

describe('cni/agent/main.ts', () => {
  it('shows with --help where its settings are described', async () => {
    const { code, stdout } = await run(program('cni/agent/main.ts', '--help'));
    expect(stdout).to.include('docs/operating-cni.md');
    expect(code).to.equal(0);
  });

  it('tells of all settings that are wrong, and ends', async () => {
    const env = { NODE_NAME: '', LOG_LEVEL: 'loud' };
    const { code, stderr } = await run(program('cni/agent/main.ts'), { env });
    expect(stderr).to.include('NODE_NAME').and.include('LOG_LEVEL');
    expect(code).to.equal(1);
  });
});
