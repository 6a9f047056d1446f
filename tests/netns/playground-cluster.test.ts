import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import {
  CONFIG_MAPS,
  EVENTS,
  type KubeObject,
  NODES,
  PODS,
  type Pod,
  SERVICES,
} from '#kube/resources.ts';
import { type Cluster, Clusters } from '#tests/support/cluster.ts';
import { execInPod } from '#tests/support/exec-client.ts';

function pod(
  name: string,
  node: string,
  container: Partial<Pod['spec']['containers'][number]>,
  spec: Partial<Pod['spec']> = {},
): Pod {
  const containers = [{ name: 'main', image: 'ambit/curl', ...container }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { nodeName: node, containers, ...spec },
  };
}

const isReady = (each: Pod | undefined): boolean =>
  each?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ===
  true;

/** Processes that are in other network namespaces than ours, and whose command line or environment has the text. */
function processesOf(text: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text) &&
          readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync('/proc/self/ns/net')
        );
      } catch {
        // It has ended meanwhile, or is none of ours.
        return false;
      }
    });
}

function managers({ metadata }: KubeObject): readonly unknown[] {
  return (metadata.managedFields ?? []).map(({ manager }) => manager);
}

describe('a cluster of the playground', function () {
  this.timeout(180_000);
  let clusters: Clusters;
  let cluster: Cluster;
  before(async () => {
    clusters = new Clusters();
    cluster = await clusters.up('shop', '--image', 'example.com/talker=sh -c');
  });
  after(async () => {
    cluster.client.close();
    await clusters[Symbol.asyncDispose]();
  });

  it('has its nodes ready when it says so', async () => {
    const { items } = await cluster.client.list(NODES);
    expect(items.map(({ metadata }) => metadata.name)).to.have.members(['node-1', 'node-2']);
    expect(items.map(({ spec }) => spec?.podCIDR)).to.have.members([
      '10.244.0.0/24',
      '10.244.1.0/24',
    ]);
    for (const { status } of items) {
      const ready = status?.conditions?.find(({ type }) => type === 'Ready');
      expect(ready).to.include({ status: 'True', reason: 'KubeletReady' });
    }
  });

  it('runs pods that find each other by service name over two nodes', async () => {
    const { client } = cluster;
    await client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'front', namespace: 'default' },
      spec: { selector: { app: 'echo' }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    const readinessProbe = { httpGet: { port: 8080 }, periodSeconds: 1 };
    await client.create(PODS, pod('echo', 'node-1', { image: 'ambit/echo', readinessProbe }));
    const ask =
      'until curl --silent --fail --max-time 2 http://front.default/x; do sleep 0.1; done';
    await client.create(
      PODS,
      pod('asker', 'node-2', { command: ['sh', '-c', ask] }, { restartPolicy: 'Never' }),
    );
    const asker = await cluster.podUntil('asker', (each) => each?.status?.phase === 'Succeeded');
    expect(asker?.status?.podIP).to.match(/^10\.244\.1\.\d+$/);
    const said = await cluster.logs('asker');
    expect(said).to.include('Hostname=echo').and.include(`Peer=${asker?.status?.podIP}`);
  });

  it('places pods that say nothing of a node', async () => {
    const { nodeName: _, ...spec } = pod('free', '', {}).spec;
    await cluster.client.create(PODS, { ...pod('free', '', {}), spec });
    const free = await cluster.podUntil('free', isReady);
    expect(free?.spec.nodeName).to.be.oneOf(['node-1', 'node-2']);
  });

  it('says who has written what of an object', async () => {
    const { client } = cluster;
    expect(managers(await client.get(PODS, 'free', 'default'))).to.include('kubelet');
    expect(managers(await client.get(NODES, 'node-1'))).to.include('kubelet');
    const root = await client.get(CONFIG_MAPS, 'kube-root-ca.crt', 'default');
    expect(managers(root)).to.deep.equal(['kube-controller-manager']);
    const { items } = await client.list(EVENTS, { namespace: 'default' });
    const scheduled = items.find(({ reason }) => reason === 'Scheduled');
    expect(scheduled && managers(scheduled)).to.deep.equal(['kube-scheduler']);
  });

  it('gives pods a token that the API server takes', async () => {
    const directory = '/var/run/secrets/kubernetes.io/serviceaccount';
    const url =
      'https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const body = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}';
    const ask = `curl --silent --insecure -H "Authorization: Bearer $(cat ${directory}/token)" -H 'Content-Type: application/json' -d '${body}' "${url}"`;
    await cluster.client.create(
      PODS,
      pod('who', 'node-1', { command: ['sh', '-c', ask] }, { restartPolicy: 'Never' }),
    );
    await cluster.podUntil('who', (each) => each?.status?.phase === 'Succeeded');
    expect(await cluster.logs('who')).to.include('system:serviceaccount:default:default');
  });

  it('runs a program of the machine for an image that is mapped to it', async () => {
    await cluster.client.create(
      PODS,
      pod(
        'talker',
        'node-1',
        { image: 'example.com/talker:v2', args: ['echo "said: $0"', 'hello'] },
        { restartPolicy: 'Never' },
      ),
    );
    await cluster.podUntil('talker', (each) => each?.status?.phase === 'Succeeded');
    expect(await cluster.logs('talker')).to.equal('said: hello\n');
  });

  it('runs commands in containers, with their input, both outputs and their exit code', async () => {
    await cluster.client.create(PODS, pod('shell', 'node-2', {}));
    await cluster.podUntil('shell', isReady);
    const text = 'cat; echo said >&2; exit 3';
    const result = await execInPod(cluster.kubeconfig, {
      pod: 'shell',
      command: ['sh', '-c', text],
      input: 'given\n',
    });
    expect(result).to.deep.include({ stdout: 'given\n', stderr: 'said\n' });
    expect(result.status).to.deep.nested.include({
      reason: 'NonZeroExitCode',
      'details.causes[0].message': '3',
    });
  });

  it('gives a command a terminal of the size that the client has', async () => {
    const ask = 'until [ "$(stty size)" = "33 123" ]; do sleep 0.05; done; tty; stty size';
    const result = await execInPod(cluster.kubeconfig, {
      pod: 'shell',
      command: ['sh', '-c', ask],
      tty: { columns: 123, rows: 33 },
    });
    expect(result.stdout).to.equal('/dev/pts/0\r\n33 123\r\n');
    expect(result.status).to.deep.include({ status: 'Success' });
  });

  it('takes a deleted pod away when its containers have ended', async () => {
    // As the first process it does not even hear of the signal before there is the trap.
    const text = 'trap "sleep 0.5; exit 0" TERM; touch /tmp/up; sleep infinity & wait';
    const command = ['sh', '-c', text];
    const readinessProbe = { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1 };
    await cluster.client.create(PODS, pod('leaver', 'node-2', { command, readinessProbe }));
    await cluster.podUntil('leaver', isReady);
    await cluster.client.delete(PODS, 'leaver', 'default');
    const leaving = await cluster.podUntil(
      'leaver',
      (each) => each?.metadata.deletionTimestamp !== undefined || each === undefined,
    );
    expect(leaving?.metadata.deletionGracePeriodSeconds).to.equal(30);
    await cluster.podUntil('leaver', (each) => each === undefined);
  });

  it('starts a pod as soon as what it refers to is there', async () => {
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'later', key: 'a' } } }];
    const volumes = [{ name: 'later', configMap: { name: 'later' } }];
    const container = { command: ['sh', '-c', 'echo $A; sleep infinity & wait'], env };
    await cluster.client.create(PODS, pod('waiter', 'node-1', container, { volumes }));
    await cluster.podUntil('waiter', (each) => each?.status?.phase === 'Pending');
    await cluster.client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'later', namespace: 'default' },
      data: { a: 'there' },
    });
    await cluster.podUntil('waiter', isReady);
    expect(await cluster.logs('waiter')).to.equal('there\n');
  });

  it('brings the pods of a node back when the node is killed, and counts that', async () => {
    const killed = await cluster.podUntil('shell', isReady);
    const [first] = processesOf(`${clusters.directory}/ambit/shop/nodes/node-2/start.sh`);
    process.kill(Number(first), 'SIGKILL');
    const back = await cluster.podUntil(
      'shell',
      (each) => each?.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(each),
    );
    expect(back?.metadata.uid).to.equal(killed?.metadata.uid);
    expect(back?.status?.containerStatuses?.[0]?.lastState?.terminated).to.deep.include({
      exitCode: 255,
      reason: 'Unknown',
      containerID: killed?.status?.containerStatuses?.[0]?.containerID,
    });
  });

  it('says that the name or the port is taken, and leaves the cluster alone', async () => {
    const again = await clusters.ambit('up', '--name', 'shop');
    expect(again.code).to.equal(1);
    expect(again.stderr).to.match(/a cluster named "shop" runs already \(process \d+\)/);
    const listener = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => listener.once('listening', resolve));
    const port = (listener.address() as { port: number }).port;
    const taken = await clusters.ambit('up', '--name', 'other', '--port', String(port));
    listener.close();
    expect(taken.code).to.equal(1);
    expect(taken.stderr).to.include(`cannot listen on 127.0.0.1:${port}: something else uses it`);
    expect(readdirSync(join(clusters.directory, 'ambit'))).to.deep.equal(['shop']);
    expect(cluster.process.running).to.equal(true);
  });
});

describe('the end of a cluster', function () {
  this.timeout(180_000);
  let clusters: Clusters;
  before(() => {
    clusters = new Clusters();
  });
  afterEach(() => {
    // Whatever a test was about: in the end there is nothing.
    expect(processesOf(clusters.directory)).to.deep.equal([]);
    expect(readdirSync(join(clusters.directory, 'ambit'))).to.deep.equal([]);
  });
  after(async () => {
    await clusters[Symbol.asyncDispose]();
  });

  it('leaves nothing after Ctrl-C', async () => {
    const cluster = await clusters.up('one', '--nodes', '1');
    expect(processesOf(clusters.directory)).to.have.length.above(0);
    cluster.client.close();
    cluster.process.signal('SIGINT');
    expect(await cluster.process.exited).to.deep.equal({ code: 0, signal: null });
  });

  it('comes by "ambit down", also for one that runs on its own', async () => {
    const cluster = await clusters.up('one', '--nodes', '1', '--detach');
    cluster.client.close();
    expect((await cluster.process.exited).code).to.equal(0);
    expect(processesOf(clusters.directory)).to.have.length.above(0);
    const down = await clusters.ambit('down', '--name', 'one');
    expect(down).to.include({ code: 0, stdout: 'The cluster "one" has ended.\n' });
    const again = await clusters.ambit('down', '--name', 'one');
    expect(again).to.include({ code: 0, stdout: 'There is no cluster named "one".\n' });
  });

  it('comes with its API server, which has all objects, and says so', async () => {
    const cluster = await clusters.up('one', '--nodes', '1');
    cluster.client.close();
    const [server] = processesOf(`${clusters.directory}/ambit/one\0--name`);
    process.kill(Number(server), 'SIGKILL');
    expect((await cluster.process.exited).code).to.equal(1);
    expect(cluster.process.lines.join('\n')).to.include(
      'the API server has ended (SIGKILL), and with it all objects of the cluster',
    );
  });

  it('comes when it is interrupted while it starts, also when it would go on alone', async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const) {
      const up = clusters.start('one', '--detach');
      await up.waitFor(/^ {2}API server/, 60_000);
      up.signal(signal);
      const { code } = await up.exited;
      if (signal === 'SIGKILL') await clusters.ambit('down', '--name', 'one');
      else expect(code).to.equal(128 + constants.signals[signal]);
      expect(processesOf(clusters.directory), signal).to.deep.equal([]);
      expect(readdirSync(join(clusters.directory, 'ambit')), signal).to.deep.equal([]);
    }
  });

  it('is no matter for others of the same name that were refused', async () => {
    const tried = await Promise.all(
      [1, 2, 3].map(async () =>
        clusters.ambit('up', '--name', 'one', '--nodes', '1', '--bare', '--detach'),
      ),
    );
    expect(tried.map(({ code }) => code)).to.have.members([0, 1, 1]);
    const refused = tried.filter(({ code }) => code === 1);
    for (const { stderr } of refused) expect(stderr).to.include('named "one" runs already');
    await clusters.ambit('down', '--name', 'one');
  });

  it('leaves nothing but files when everything is killed, and the next run removes those', async () => {
    const cluster = await clusters.up('one', '--nodes', '1', '--detach');
    cluster.client.close();
    const owner = JSON.parse(
      readFileSync(join(clusters.directory, 'ambit/one/owner.json'), 'utf8'),
    ) as { pid: number };
    process.kill(owner.pid, 'SIGKILL');
    const next = await clusters.up('one', '--nodes', '1');
    next.client.close();
    expect((await next.client.list(NODES)).items).to.have.length(1);
    next.client.close();
    next.process.signal('SIGTERM');
    expect(await next.process.exited).to.deep.equal({ code: 0, signal: null });
  });
});
