import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { type PluginAnswer, PluginServer } from '#cni/agent/plugin-server.ts';
import { addEvent, tellAgent } from '#cni/plugin/agent-client.ts';

const event = addEvent({ namespace: 'shop', name: 'till-0' }, '/var/run/netns/a', undefined);

describe('PluginServer', () => {
  let directory: string;
  let path: string;
  let server: PluginServer;
  let answer: () => Promise<PluginAnswer>;
  let statuses: number[];
  let errors: unknown[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'plugin-server-'));
    path = join(directory, 'pluginevent.sock');
    // What a process left that was killed.
    writeFileSync(path, '');
    [statuses, errors] = [[], []];
    answer = async () => ({ kind: 'accepted' });
    server = new PluginServer({
      path,
      answer: () => answer(),
      onAnswered: (status) => statuses.push(status),
      onError: (error) => errors.push(error),
    });
    await server.start();
  });

  afterEach(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  async function post(
    target: string,
    body: string,
  ): Promise<readonly [number | undefined, string]> {
    const { promise, resolve, reject } =
      Promise.withResolvers<readonly [number | undefined, string]>();
    const sent = request({ socketPath: path, path: target, method: 'POST' }, (response) => {
      text(response).then((said) => resolve([response.statusCode, said]), reject);
    });
    sent.on('error', reject);
    sent.end(body);
    return promise;
  }

  it('answers our plugin', async () => {
    expect(await tellAgent(path, event)).to.deep.equal({ kind: 'accepted' });
    answer = async () => ({ kind: 'refused', reason: 'no ztunnel is connected' });
    expect(await tellAgent(path, event)).to.deep.equal({
      kind: 'refused',
      reason: 'no ztunnel is connected',
    });
    expect(statuses).to.deep.equal([200, 500]);
  });

  it('can be asked by its own user alone, however open the process makes its files', async () => {
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    const wide = join(directory, 'wide');
    const other = new PluginServer({
      path: wide,
      answer: () => answer(),
      onAnswered: () => undefined,
      onError: () => undefined,
    });
    const umask = process.umask(0);
    try {
      const started = other.start();
      expect(statSync(wide).mode & 0o777).to.equal(0o600);
      expect(process.umask()).to.equal(0);
      await started;
    } finally {
      process.umask(umask);
    }
    await other.stop();
  });

  it('says no when it fails, and goes on', async () => {
    answer = async () => Promise.reject(new Error('out of order'));
    expect(await tellAgent(path, event)).to.deep.equal({ kind: 'refused', reason: 'out of order' });
    expect(errors).to.have.length(1);
    answer = async () => ({ kind: 'accepted' });
    expect(await tellAgent(path, event)).to.deep.equal({ kind: 'accepted' });
  });

  it('refuses what it cannot read', async () => {
    expect(await post('/cmdadd', '{')).to.satisfy(([status]: [number]) => status === 400);
    expect((await post('/cmdadd', '{}'))[1]).to.contain('"Netns" is missing');
    expect((await post('/other', ''))[0]).to.equal(404);
    expect((await post('/cmdadd', 'x'.repeat(70_000)))[0]).to.equal(413);
    expect(statuses).to.deep.equal([400, 400, 404, 413]);
  });

  it('says where it cannot listen', async () => {
    const nowhere = new PluginServer({
      path: join(directory, 'none/socket'),
      answer: () => answer(),
      onAnswered: () => undefined,
      onError: () => undefined,
    });
    const failed = await nowhere.start().catch((error: unknown) => String(error));
    expect(failed).to.contain('Cannot listen for CNI plugins on').and.contain('none/socket');
  });
});
