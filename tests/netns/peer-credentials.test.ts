import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { connectSeqpacket } from '#linux/seqpacket.ts';
import { start } from '#tests/bed/process.ts';

const DEADLINE_MS = 60_000;

// A pod's processes have a process namespace of their own: the two node tunnels of a roll-out don't see each other.
describe('peerCredentials(), of a process in another process namespace', () => {
  it('has its user, and no pid', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'peer-credentials-'));
    const path = join(folder, 'socket');
    const script = `
      import { acceptSeqpacket, listenSeqpacket, peerCredentials } from '#linux/seqpacket.ts';
      const { fd } = listenSeqpacket(${JSON.stringify(path)}, { mode: 0o600 });
      console.log('listening');
      setInterval(() => {
        const accepted = acceptSeqpacket(fd);
        if (accepted >= 0) console.log('peer ' + JSON.stringify(peerCredentials(accepted)));
      }, 10);`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const inside = start(['unshare', '--pid', '--fork', '--kill-child', ...node]);
    await inside.waitFor(/^listening$/, DEADLINE_MS);
    const connected = connectSeqpacket(path);
    if (!('fd' in connected)) throw new Error(connected.call);
    const line = await inside.waitFor(/^peer /, DEADLINE_MS);
    expect(JSON.parse(line.slice('peer '.length))).to.deep.equal({
      pid: 0,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    closeSync(connected.fd);
    await inside.stop();
    rmSync(folder, { recursive: true });
  });
});
