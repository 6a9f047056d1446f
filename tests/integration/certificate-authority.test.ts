import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';
import { CaClient, type SignResult } from '#dataplane/identity/ca-client.ts';
import { openssl } from '#tests/support/openssl.ts';

const TILL = parseIdentity('spiffe://cluster.local/ns/shop/sa/till') as Identity;
const PROGRAM = 'tests/bed/certificate-authority.ts';

describe('the certificate authority program', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'authority-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  /** Runs it, asks it for one certificate, ends it. */
  async function oneRun(
    ...more: readonly string[]
  ): Promise<{ lines: string[]; result: SignResult }> {
    const child = spawn(process.execPath, [PROGRAM, directory, '127.0.0.1:0', ...more], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    const reader = createInterface({ input: child.stdout });
    reader.on('line', (line) => lines.push(line));
    try {
      await once(reader, 'line');
      using client = new CaClient({
        address: lines[0]!.replace('ready ', ''),
        root: { kind: 'file', path: join(directory, 'root.pem') },
        token: { kind: 'inline', text: 'secret-token' },
        clusterId: 'Kubernetes',
        certificateTtlMs: 3_600_000,
      });
      const result = await client.sign(TILL, new AbortController().signal);
      return { lines, result };
    } finally {
      const ended = once(child, 'close');
      child.kill();
      await ended;
    }
  }

  it('prints that it is ready and one line per request, never the token', async () => {
    const { lines, result } = await oneRun();
    expect(result.kind).to.equal('signed');
    expect(lines).to.have.length(2);
    expect(lines[0]).to.match(/^ready https:\/\/127\.0\.0\.1:\d+$/);
    expect(lines[1]).to.equal(`signed ${TILL} 3600s token Kubernetes`);
  });

  it('keeps its root, whose key only its owner can read', async () => {
    await oneRun();
    const path = join(directory, 'root.pem');
    const root = readFileSync(path, 'utf8');
    expect(statSync(join(directory, 'root.key')).mode & 0o777).to.equal(0o600);
    const verdict = openssl(['verify', '-x509_strict', '-check_ss_sig', '-CAfile', path, path]);
    expect(verdict.ok, verdict.text).to.equal(true);
    const { result } = await oneRun('7');
    expect(readFileSync(path, 'utf8')).to.equal(root);
    if (result.kind === 'failed') throw new Error(result.reason);
    expect(result.rootsPem).to.equal(root);
    expect(result.notAfterMs - Date.now()).to.be.within(0, 8_000);
  });
});
