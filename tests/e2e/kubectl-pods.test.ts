import { createHash, randomBytes } from 'node:crypto';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { Kubectl } from '#tests/bed/kubectl.ts';
import { type Cluster, Clusters } from '#tests/support/cluster.ts';

/** A slow machine has its kubectl start for seconds. */
const SEEN_MS = 60_000;
const INPUT_BYTES = 3_000_000;

const box = `
apiVersion: v1
kind: Pod
metadata: {name: box, labels: {app: box}}
spec:
  containers:
  - {name: main, image: example.com/shell, args: ["-c", "echo started; trap 'exit 0' TERM; while :; do if test -e /tmp/say; then cat /tmp/say; rm /tmp/say; fi; sleep 0.2; done"]}
  - {name: web, image: ambit/echo}
`;

describe('kubectl and the pods of a cluster', function () {
  this.timeout(180_000);
  let clusters: Clusters;
  let cluster: Cluster;
  let kubectl: Kubectl;
  before(async () => {
    clusters = new Clusters();
    cluster = await clusters.up('pods', '--image', 'example.com/shell=sh');
    kubectl = new Kubectl({ kubeconfig: cluster.kubeconfig, home: clusters.directory });
    await kubectl.must(['apply', '-f', '-'], box);
    await kubectl.must(['wait', '--for=condition=Ready', 'pod/box', '--timeout=60s']);
  });
  after(async () => {
    cluster.client.close();
    await clusters[Symbol.asyncDispose]();
  });

  it('exec runs a command, with its two outputs and its exit code', async () => {
    const script = 'echo out; echo err >&2; exit 7';
    const result = await kubectl.run(['exec', 'box', '-c', 'main', '--', 'sh', '-c', script]);
    expect(result.stdout).to.equal('out\n');
    expect(result.stderr).to.contain('err\n').and.contain('exit code 7');
    expect(result.code).to.equal(7);
  });

  it('exec -i passes on what is typed, all of it, and its end', async () => {
    const input = randomBytes(INPUT_BYTES / 2).toString('hex');
    const sum = ['exec', '-i', 'box', '-c', 'main', '--', 'sha256sum'];
    expect(await kubectl.must(sum, input)).to.equal(
      `${createHash('sha256').update(input).digest('hex')}  -`,
    );
  });

  it('exec -it has a terminal, of the size of the one in front', async () => {
    const inside = 'test -t 0 && test -t 1 && stty size && echo $TERM && exit 5';
    const exec = `kubectl exec -it box -c main -- sh -c '${inside}'`;
    const result = await kubectl.around([
      'script',
      '-qec',
      `stty cols 101 rows 33; ${exec}`,
      '/dev/null',
    ]);
    expect(result.stdout).to.contain('33 101').and.contain('xterm');
    expect(result.code).to.equal(5);
  });

  it('exec -it is for shells: they control their jobs, and their exit code arrives', async () => {
    const exec = 'kubectl exec -it box -c main -- sh';
    const typed = String.raw`printf 'sleep 0 & wait; echo a$((1+1))b\nexit 6\n'`;
    const result = await kubectl.around(['sh', '-c', `${typed} | script -qec "${exec}" /dev/null`]);
    expect(result.stdout).to.contain('a2b').and.not.contain('No such process');
    expect(result.code).to.equal(6);
  });

  it('run -it --rm talks to a shell in a pod of its own, and ends as it does', async () => {
    const run = 'kubectl run talk -it --rm --restart=Never --image=ambit/curl -- sh';
    const typed = String.raw`printf 'echo a$((1+1))b; tty; stty size\nexit 4\n'`;
    const inFront = `stty cols 97 rows 31; ${run}`;
    const result = await kubectl.around([
      'sh',
      '-c',
      `${typed} | script -qec "${inFront}" /dev/null`,
    ]);
    expect(result.stdout).to.contain('a2b').and.contain('/dev/console').and.contain('31 97');
    expect(result.stdout).to.contain('pod "talk" deleted');
    expect(result.code).to.equal(4);
  });

  it('run -i passes a pipe on to a pod, to its end, and brings back what that says', async () => {
    const image = ['--restart=Never', '--image=ambit/curl'];
    const run = ['run', 'sum', '-i', '--rm', '-q', ...image, '--', 'sha256sum'];
    const input = randomBytes(INPUT_BYTES / 20).toString('hex');
    expect(await kubectl.must(run, input)).to.contain(
      `${createHash('sha256').update(input).digest('hex')}  -`,
    );
  });

  it('debug adds a container to a pod, in its network', async () => {
    const look = 'read word; echo got $word; curl -s http://localhost:8080/';
    const debug = ['debug', 'box', '-i', '-q', '-c', 'look', '--image=ambit/curl'];
    const said = await kubectl.must([...debug, '--', 'sh', '-c', look], 'it\n');
    expect(said).to.contain('got it').and.contain('Hostname=box');
    const path = '{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}';
    const wait = ['wait', 'pod/box', `--for=jsonpath=${path}=0`, '--timeout=60s'];
    expect(await kubectl.must(wait)).to.contain('condition met');
    expect(await kubectl.must(['logs', 'box', '-c', 'look'])).to.contain('got it');
  });

  it('logs tells what a container has said, and -f what it says then', async () => {
    expect(await kubectl.must(['logs', 'box', '-c', 'main'])).to.equal('started');
    const following = kubectl.start(['logs', '-f', 'box', '-c', 'main']);
    try {
      await following.waitFor(/^started$/, SEEN_MS);
      await kubectl.must([
        'exec',
        'box',
        '-c',
        'main',
        '--',
        'sh',
        '-c',
        'echo more > /tmp/word; mv /tmp/word /tmp/say',
      ]);
      await following.waitFor(/^more$/, SEEN_MS);
    } finally {
      await following.stop();
    }
    expect(await kubectl.fails(['logs', 'box', '-c', 'none'])).to.contain(
      'container none is not valid for pod box',
    );
  });

  it('port-forward reaches a port of the pod', async () => {
    const forwarding = kubectl.start(['port-forward', 'pod/box', ':8080']);
    try {
      const line = await forwarding.waitFor(/^Forwarding from 127\.0\.0\.1:\d+/, SEEN_MS);
      const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(line) ?? [];
      for (const path of ['/first', '/second']) {
        const answer = await fetch(`http://127.0.0.1:${port}${path}`);
        expect(await answer.text())
          .to.contain('Hostname=box')
          .and.contain(`URL=${path}`);
      }
    } finally {
      await forwarding.stop();
    }
  });

  it('rollout status follows a deployment until its pods run, also after a restart', async () => {
    await kubectl.must(['create', 'deployment', 'shop', '--image=ambit/echo']);
    const done = 'deployment "shop" successfully rolled out';
    const status = ['rollout', 'status', 'deployment/shop', '--timeout=60s'];
    expect(await kubectl.must(status)).to.contain(done);
    await kubectl.must(['rollout', 'restart', 'deployment/shop']);
    expect(await kubectl.must(status)).to.contain(done);
    await kubectl.must(['scale', 'deployment/shop', '--replicas=3']);
    expect(await kubectl.must(status)).to.contain(done);
    const pods = await kubectl.must([
      'get',
      'pods',
      '-l',
      'app=shop',
      '-o',
      'name',
      '--field-selector=status.phase=Running',
    ]);
    expect(pods.split('\n').length).to.be.at.least(3);
    await kubectl.must(['delete', 'deployment', 'shop']);
    await kubectl.must(['wait', '--for=delete', 'pods', '-l', 'app=shop', '--timeout=60s']);
  });

  it('a namespace goes with what is in it', async () => {
    await kubectl.must(['create', 'namespace', 'short']);
    await kubectl.must(['create', 'configmap', 'c', '--from-literal=a=b', '-n', 'short']);
    await kubectl.must(['delete', 'namespace', 'short']);
    expect(await kubectl.fails(['get', 'namespace', 'short'])).to.contain('(NotFound)');
  });
});
