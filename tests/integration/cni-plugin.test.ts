import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { TestAuthority } from '#tests/support/tls-material.ts';

const PLUGIN = fileURLToPath(new URL('../../cni/plugin/main.ts', import.meta.url));

interface Ran {
  readonly code: number;
  readonly stdout: string;
}

describe('the CNI plugin', () => {
  let directory: string;
  const closing: (() => void)[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cni-plugin-'));
  });

  afterEach(() => {
    for (const close of closing.splice(0)) close();
    rmSync(directory, { recursive: true });
  });

  const prevResult = { cniVersion: '1.0.0', ips: [{ address: '10.2.3.4/24' }] };

  async function add(pod = 'shop/till-0', more: object = {}): Promise<Ran> {
    const [namespace, name] = pod.split('/');
    return run('ADD', `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`, more);
  }

  async function run(command: string, args: string, more: object = {}): Promise<Ran> {
    const child = spawn(process.execPath, [PLUGIN], {
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: 'c1',
        CNI_NETNS: '/var/run/netns/x',
        CNI_IFNAME: 'eth0',
        CNI_ARGS: args,
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end(
      JSON.stringify({
        cniVersion: '1.0.0',
        name: 'net',
        type: 'istio-cni',
        cni_agent_run_dir: directory,
        ambient_enabled: true,
        pod_namespace: 'istio-system',
        exclude_namespaces: ['kube-system'],
        prevResult,
        ...more,
      }),
    );
    const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    return { code: code as number, stdout };
  }

  async function agentThatSays(status: number, reason: string): Promise<() => number> {
    let calls = 0;
    const agent = createServer((_, response: ServerResponse) => {
      calls++;
      response.writeHead(status).end(reason);
    });
    agent.listen(join(directory, 'pluginevent.sock'));
    await once(agent, 'listening');
    closing.push(() => agent.close());
    return () => calls;
  }

  /** An API server that knows one pod and its namespace; answers the paths that it was asked. */
  async function apiServer(
    namespaceLabels: Record<string, string>,
    status = 200,
  ): Promise<string[]> {
    const asked: string[] = [];
    const { chainPem, privateKeyPem, rootsPem } = new TestAuthority().issue({
      names: { addresses: [Uint8Array.of(127, 0, 0, 1)] },
    });
    const server = createTlsServer(
      { key: privateKeyPem, cert: chainPem.join('') },
      (request, response) => {
        asked.push(`${request.headers.authorization} ${request.url}`);
        const labels = request.url?.includes('/pods/') ? {} : namespaceLabels;
        response.writeHead(status).end(JSON.stringify({ metadata: { labels } }));
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const ca = Buffer.from(rootsPem).toString('base64');
    const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': ca };
    writeFileSync(
      join(directory, 'istio-cni-kubeconfig'),
      JSON.stringify({ clusters: [{ cluster }], users: [{ user: { token: 'secret' } }] }),
    );
    return asked;
  }

  it('prints the earlier result when the agent has accepted the pod', async () => {
    const calls = await agentThatSays(200, '');
    const { code, stdout } = await add();
    expect([code, JSON.parse(stdout)]).to.deep.equal([0, prevResult]);
    expect(calls()).to.equal(1);
  });

  it("fails with the agent's reason", async () => {
    await agentThatSays(500, 'no ztunnel is connected');
    const { code, stdout } = await add();
    expect(code).to.equal(1);
    expect(JSON.parse(stdout)).to.deep.equal({
      cniVersion: '1.0.0',
      code: 999,
      msg: "the node's CNI agent refuses pod shop/till-0: no ztunnel is connected",
    });
  });

  it('does not ask for excluded namespaces, the agent itself, or what is no pod', async () => {
    const calls = await agentThatSays(500, 'no');
    expect((await add('kube-system/dns')).code).to.equal(0);
    expect((await add('istio-system/istio-cni-node-abc')).code).to.equal(0);
    expect((await run('ADD', '')).code).to.equal(0);
    expect((await add('shop/till-0', { ambient_enabled: false })).code).to.equal(0);
    expect(calls()).to.equal(0);
  });

  it('lets pods outside the mesh start when the agent is away, and no others', async () => {
    const asked = await apiServer({});
    expect((await add()).code).to.equal(0);
    expect(asked.toSorted()).to.deep.equal([
      'Bearer secret /api/v1/namespaces/shop',
      'Bearer secret /api/v1/namespaces/shop/pods/till-0',
    ]);
    await apiServer({ 'istio.io/dataplane-mode': 'ambient' });
    const refused = await add();
    expect(refused.code).to.equal(1);
    expect(refused.stdout).to.contain('failed to contact node Istio CNI agent');
    expect(refused.stdout).to.contain('shop/till-0 belongs to the mesh');
  });

  it('lets nothing start when neither the agent nor the API server can be asked', async () => {
    const { code, stdout } = await add();
    expect(code).to.equal(1);
    expect(stdout).to.contain('cannot be known');
    expect(stdout).to.contain('istio-cni-kubeconfig');
  });

  it('lets nothing start when its token has ended with the pod of the agent, and says so', async () => {
    await apiServer({}, 401);
    const { code, stdout } = await add();
    expect(code).to.equal(1);
    expect(stdout)
      .to.contain("ended with the agent's pod")
      .and.contain('see whether the istio-cni-node pod of this node runs');
  });

  it('does nothing for DEL, and tells its versions', async () => {
    expect(await run('DEL', '')).to.deep.equal({ code: 0, stdout: '' });
    expect(JSON.parse((await run('VERSION', '')).stdout)).to.have.property('supportedVersions');
  });
});
