import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { NODE_PROGRAM } from '#playground/node/node-root.ts';
import { StandaloneNode } from '#tests/support/standalone-node.ts';

function pod(
  name: string,
  container: Record<string, unknown>,
  spec: Record<string, unknown> = {},
): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: { containers: [{ name: 'main', image: 'ambit/curl', ...container }], ...spec },
  };
}

function script(text: string): Record<string, unknown> {
  return { command: ['sh', '-c', text] };
}

describe('a node of the playground', function () {
  this.timeout(60_000);
  let node: StandaloneNode;
  before(async () => {
    node = await StandaloneNode.start();
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
  });

  it('answers nobody but the masters of the cluster', async () => {
    expect(await node.get('/pods')).to.contain('PodList');
    expect(await node.get('/pods', 'user')).to.equal('Forbidden\n');
  });

  it('gives a pod an address of its own, reachable from the cluster and from other pods', async () => {
    node.apply(
      'echo',
      pod('echo', { image: 'ambit/echo', readinessProbe: { httpGet: { port: 8080 } } }),
    );
    const echo = await node.podUntil(
      'echo',
      ({ status }) => status?.containerStatuses?.[0]?.ready === true,
    );
    expect(echo.status?.phase).to.equal('Running');
    expect(echo.status?.podIP).to.match(/^10\.244\.0\.\d+$/);
    const answer = await node.inNode(['curl', '-s', `http://${echo.status?.podIP}:8080/x`]);
    expect(answer.stdout).to.include('Hostname=echo').and.to.include('Peer=172.18.0.1');
    node.apply(
      'caller',
      pod('caller', script(`curl -s http://${echo.status?.podIP}:8080/y`), {
        restartPolicy: 'Never',
      }),
    );
    const caller = await node.podUntil('caller', ({ status }) => status?.phase === 'Succeeded');
    expect(await node.logs('caller', 'main')).to.include(`Peer=${caller.status?.podIP}`);
  });

  it('runs init containers first, with environment and volumes', async () => {
    node.apply('settings', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings' },
      data: { colour: 'green' },
    });
    node.apply(
      'steps',
      pod(
        'steps',
        {
          ...script(
            'cat /data/said /etc/settings/colour; echo " $WHO $(hostname) $COLOUR $TWICE $CPUS"',
          ),
          env: [
            { name: 'WHO', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
            { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
            { name: 'TWICE', value: '$(COLOUR)-$(COLOUR)-$$(COLOUR)' },
            { name: 'CPUS', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
          ],
          resources: { limits: { cpu: '1500m' } },
          volumeMounts: [
            { name: 'data', mountPath: '/data' },
            { name: 'settings', mountPath: '/etc/settings' },
          ],
        },
        {
          restartPolicy: 'Never',
          initContainers: [
            {
              name: 'first',
              image: 'ambit/curl',
              ...script('echo from the first > /data/said'),
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
            },
          ],
          volumes: [
            { name: 'data', emptyDir: {} },
            { name: 'settings', configMap: { name: 'settings' } },
          ],
        },
      ),
    );
    const { status } = await node.podUntil('steps', (each) => each.status?.phase === 'Succeeded');
    expect(status?.initContainerStatuses?.[0]).to.include({ ready: true, restartCount: 0 });
    expect(await node.logs('steps', 'main')).to.equal(
      'from the first\ngreen steps steps green green-green-$(COLOUR) 2\n',
    );
  });

  it('sees what the node mounts later through a volume with propagation', async () => {
    const volumes = [
      { name: 'netns', hostPath: { path: '/var/run/netns', type: 'DirectoryOrCreate' } },
    ];
    const mount = {
      name: 'netns',
      mountPath: '/host/var/run/netns',
      mountPropagation: 'HostToContainer',
    };
    node.apply(
      'agent',
      pod(
        'agent',
        {
          ...script(
            'while :; do ls /host/var/run/netns | wc -l; for f in /host/var/run/netns/*; do nsenter --net=$f true && echo entered; done; sleep 0.2; done',
          ),
          volumeMounts: [mount],
          securityContext: { privileged: true },
        },
        { volumes, terminationGracePeriodSeconds: 0 },
      ),
    );
    await node.podUntil('agent', ({ status }) => status?.phase === 'Running');
    node.apply('later', pod('later', {}, { terminationGracePeriodSeconds: 0 }));
    await node.podUntil('later', ({ status }) => status?.phase === 'Running');
    const count = async (): Promise<number> => {
      const lines = (await node.logs('agent', 'main', '?tailLines=12')).split('\n');
      return Number(lines.findLast((line) => /^\d+$/.test(line)));
    };
    const all = (await node.pods()).filter(({ status }) => status?.phase === 'Running').length;
    await node.until(async () => (await count()) === all, 'the namespaces of all pods are seen');
    node.delete('later');
    await node.until(async () => (await count()) === all - 1, 'the namespace has gone');
    node.delete('agent');
  });

  it('runs programs that a shell has built in, and says that there is none of a name', async () => {
    for (const [name, command] of [
      ['said', ['echo', 'by itself']],
      ['typo', ['slep', '9']],
    ] as const) {
      node.apply(name, pod(name, { command }, { restartPolicy: 'Never' }));
    }
    await node.podUntil('said', ({ status }) => status?.phase === 'Succeeded');
    expect(await node.logs('said', 'main')).to.equal('by itself\n');
    const typo = await node.podUntil('typo', ({ status }) => status?.phase === 'Failed');
    const { terminated } = typo.status?.containerStatuses?.[0]?.state ?? {};
    expect(terminated).to.include({ reason: 'StartError', exitCode: 128 });
    expect(terminated?.message).to.include('exec: "slep": executable file not found in $PATH');
    for (const name of ['said', 'typo']) node.delete(name);
  });

  it('says how to map an unknown image', async () => {
    node.apply('stranger', pod('stranger', { image: 'docker.io/library/nginx:1.27' }));
    const { status } = await node.podUntil(
      'stranger',
      (each) => each.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull',
    );
    expect(status?.phase).to.equal('Pending');
    expect(node.log()).to.include('ambit up --image docker.io/library/nginx=PROGRAM');
    node.delete('stranger');
  });

  it('restarts what ends, waiting longer each time', async () => {
    node.apply('crashing', pod('crashing', script('echo run; exit 3')));
    const { status } = await node.podUntil(
      'crashing',
      (each) => each.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
    );
    const [main] = status?.containerStatuses ?? [];
    expect(main).to.include({ restartCount: 1, ready: false });
    expect(main?.lastState?.terminated).to.include({ exitCode: 3, reason: 'Error' });
    expect(main?.state?.waiting?.message).to.match(
      /^back-off 10s restarting failed container=main pod=crashing_default\(/,
    );
    expect(await node.logs('crashing', 'main', '?previous=true')).to.equal('run\n');
    node.delete('crashing');
  });

  it('restarts a container whose liveness probe fails', async () => {
    node.apply(
      'ill',
      pod('ill', {
        ...script(
          'trap "exit 0" TERM; touch /tmp/well; sleep 2; rm /tmp/well; sleep infinity & wait',
        ),
        livenessProbe: {
          exec: { command: ['test', '-e', '/tmp/well'] },
          periodSeconds: 1,
          failureThreshold: 1,
        },
      }),
    );
    await node.podUntil('ill', ({ status }) => status?.containerStatuses?.[0]?.restartCount === 1);
    expect(node.log()).to.include('Container main failed liveness probe, will be restarted');
    node.delete('ill');
  });

  it('ends a program that listens for its end only after a while as soon as it does', async () => {
    // Nobody waits for the end of that.
    const spec = { terminationGracePeriodSeconds: 3_600 };
    const shell = "sleep 1; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    // Until its program runs, Node has a handler of its own.
    const program = `
      for (const endMs = Date.now() + 1_000; Date.now() < endMs; );
      process.once('SIGTERM', () => process.exit());
      setInterval(() => undefined, 1_000);`;
    node.apply('shell', pod('shell', script(shell), spec));
    node.apply('program', pod('program', { command: [NODE_PROGRAM, '-e', program] }, spec));
    for (const name of ['shell', 'program']) {
      await node.podUntil(name, ({ status }) => status?.phase === 'Running');
      node.delete(name);
    }
    for (const name of ['shell', 'program']) {
      await node.until(async () => (await node.pod(name)) === undefined, `${name} has gone`);
    }
  });

  it('leaves nothing of a deleted pod', async () => {
    node.apply(
      'short',
      pod('short', {
        lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo bye > /proc/1/fd/1'] } } },
      }),
    );
    await node.podUntil('short', ({ status }) => status?.phase === 'Running');
    node.delete('short');
    await node.until(async () => (await node.pod('short')) === undefined, 'the pod has gone');
    expect(node.log()).to.include('Stopping container main');
  });
});
