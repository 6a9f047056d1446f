import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

import {
  CoreV1Api,
  Exec,
  KubeConfig,
  Log,
  PortForward,
  type V1Status,
} from '@kubernetes/client-node';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type WebSocket from 'ws';

import { type Cluster, Clusters } from '#tests/support/cluster.ts';

const namespace = 'default';
const INPUT_BYTES = 1_000_000;

describe('@kubernetes/client-node and the pods of a cluster', function () {
  this.timeout(180_000);
  let clusters: Clusters;
  let cluster: Cluster;
  let config: KubeConfig;
  before(async () => {
    clusters = new Clusters();
    cluster = await clusters.up('client-pods', '--nodes', '1', '--image', 'example.com/shell=sh');
    config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    await config.makeApiClient(CoreV1Api).createNamespacedPod({
      namespace,
      body: {
        metadata: { name: 'box' },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'main',
              image: 'example.com/shell',
              args: ['-c', 'echo started; exec sleep 1000000'],
            },
            { name: 'web', image: 'ambit/echo' },
          ],
        },
      },
    });
    await cluster.podUntil('box', (pod) =>
      (pod?.status?.conditions ?? []).some(
        ({ type, status }) => type === 'Ready' && status === 'True',
      ),
    );
  });
  after(async () => {
    cluster.client.close();
    await clusters[Symbol.asyncDispose]();
  });

  /** Runs a command in the pod to its end. */
  async function exec(command: string[], input?: PassThrough) {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const done = Promise.withResolvers<V1Status>();
    const running = new Exec(config).exec(
      namespace,
      'box',
      'main',
      command,
      out,
      err,
      input ?? null,
      false,
      done.resolve,
    );
    const [stdout, stderr, status] = await Promise.all([
      text(out),
      text(err),
      done.promise,
      running,
    ]);
    return { stdout, stderr, status };
  }

  it('exec runs a command, with its two outputs and its exit code', async () => {
    const { stdout, stderr, status } = await exec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect([stdout, stderr]).to.deep.equal(['out\n', 'err\n']);
    expect(status).to.include({ status: 'Failure', reason: 'NonZeroExitCode' });
    expect(status.details?.causes).to.deep.equal([{ reason: 'ExitCode', message: '7' }]);
  });

  it('exec passes on what is written to it, all of it, and its end', async () => {
    const input = new PassThrough();
    const written = randomBytes(INPUT_BYTES);
    const running = exec(['sha256sum'], input);
    input.end(written);
    const { stdout, status } = await running;
    expect(stdout).to.equal(`${createHash('sha256').update(written).digest('hex')}  -\n`);
    expect(status.status).to.equal('Success');
  });

  it('log tells what a container has said', async () => {
    const core = config.makeApiClient(CoreV1Api);
    const at = { namespace, name: 'box', container: 'main' };
    expect(await core.readNamespacedPodLog(at)).to.equal('started\n');
    const lines = new PassThrough();
    await new Log(config).log(namespace, 'box', 'main', lines, { tailLines: 1, timestamps: true });
    expect(await text(lines)).to.match(/^\d{4}-\d\d-\d\dT[\d:.]+Z started\n$/);
  });

  /** Forwards one connection to a port of the pod. */
  async function forward(port: number, input: PassThrough) {
    const [output, err] = [new PassThrough(), new PassThrough()];
    const forwarding = new PortForward(config);
    const socket = await forwarding.portForward(namespace, 'box', [port], output, err, input);
    const closed = once(socket as WebSocket, 'close');
    const end = async (): Promise<void> => {
      await closed;
      output.end();
      err.end();
    };
    return { output, err, ended: end() };
  }

  describe('port-forward', () => {
    it('reaches a port of the pod', async () => {
      const input = new PassThrough();
      const { output, ended } = await forward(8080, input);
      input.write('GET /forwarded HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n');
      const answer = await text(output);
      expect(answer).to.contain('Hostname=box').and.contain('URL=/forwarded');
      await ended;
    });

    it('tells of a port that nobody listens on', async () => {
      const { err, ended } = await forward(9, new PassThrough());
      expect(await text(err)).to.match(
        /^failed to connect to localhost:9 inside the pod: .*ECONNREFUSED/,
      );
      await ended;
    });
  });
});
