// `ambit waypoint` as a process, as a user runs it: a real API server with its controllers, a real istiod; kubelets are played.

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { parse } from 'yaml';
import { readManifests } from '#cli/mesh/manifests.ts';
import type { KubeClient } from '#kube/client.ts';
import { GATEWAYS, NAMESPACES } from '#kube/resources.ts';
import { type Controllers, startControllers } from '#playground/controllers/start.ts';
import { errorLogger } from '#tests/bed/api-server.ts';
import { TestCluster, TestIstiod } from '#tests/bed/istiod.ts';
import { program, type Result, run } from '#tests/bed/process.ts';
import { FakeKubelet, type PodFate } from '#tests/support/fake-kubelet.ts';
import { createObject } from '#tests/support/manifests.ts';
import { objectUntil } from '#tests/support/objects.ts';

describe('ambit waypoint', function () {
  this.timeout(120_000);
  let cluster: TestCluster;
  let client: KubeClient;
  let istiod: TestIstiod;
  let controllers: Controllers;
  let kubelet: FakeKubelet;
  let kubeconfig: string;
  let fate: PodFate = 'ready';

  before(async () => {
    cluster = await TestCluster.start(['node-a']);
    ({ client } = cluster);
    kubeconfig = cluster.server.kubeconfig();
    for (const name of ['shop', 'bank']) await cluster.addNamespace(name);
    const caPem = cluster.server.credentials.authority.certificatePem;
    controllers = startControllers({ client, caPem, log: errorLogger() });
    kubelet = new FakeKubelet(client, () => fate);
    await kubelet.keepAlive('node-a');
    istiod = await TestIstiod.start(cluster);
  });
  after(async () => {
    kubelet.stop();
    controllers.stop();
    await istiod[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  function waypoint(...args: readonly string[]): Promise<Result> {
    const command = program('cli/main.ts', 'waypoint', ...args);
    return run(command, { env: { KUBECONFIG: kubeconfig }, deadlineMs: 60_000 });
  }
  async function prints(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await waypoint(...args);
    expect(code, stderr).to.equal(0);
    return stdout;
  }
  async function fails(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await waypoint(...args);
    expect(code, stdout).to.equal(1);
    return stderr;
  }
  async function useWaypoint(namespace: string): Promise<string | undefined> {
    const { metadata } = await client.get(NAMESPACES, namespace);
    return metadata.labels?.['istio.io/use-waypoint'];
  }

  it('says so when the cluster does not know what a Gateway is', async () => {
    expect(await fails('apply', '-n', 'shop')).to.match(/does not have the kind Gateway/);
    expect(await fails('list', '-n', 'shop')).to.match(/does not have the kind Gateway/);
    for (const file of ['gateways', 'gatewayclasses']) {
      for (const crd of readManifests(`10-crds/${file}.yaml`)) await createObject(client, crd);
    }
  });

  it('applies one, waits until it is ready, and enrolls the namespace', async () => {
    const args = ['apply', '-n', 'shop', '--enroll-namespace', '--wait'];
    const { code, stdout, stderr } = await waypoint(...args);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal(
      '✅ waypoint shop/waypoint applied\n✅ waypoint shop/waypoint is ready!\n✅ namespace shop labeled with "istio.io/use-waypoint: waypoint"\n',
    );
    expect(stderr).to.match(/^Warning: the namespace shop is not in the mesh/);
    expect(await useWaypoint('shop')).to.equal('waypoint');
    // Again, it changes nothing.
    const made = await client.get(GATEWAYS, 'waypoint', 'shop');
    await prints('apply', '-n', 'shop', '--enroll-namespace');
    const { metadata } = await client.get(GATEWAYS, 'waypoint', 'shop');
    expect(metadata.resourceVersion).to.equal(made.metadata.resourceVersion);
  });

  it('replaces the waypoint of a namespace only when it is told to', async () => {
    const other = ['apply', '-n', 'shop', '--name', 'other', '--for', 'all', '--enroll-namespace'];
    expect(await fails(...other)).to.match(/uses another waypoint already .*--overwrite/);
    const { items } = await client.list(GATEWAYS, { namespace: 'shop' });
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal(['waypoint']);
    await prints(...other, '--overwrite');
    expect(await useWaypoint('shop')).to.equal('other');
  });

  it('leaves what somebody else has set, and says what to do', async () => {
    const label = 'istio.io/waypoint-for';
    const theirs = { metadata: { labels: { [label]: 'none' } } };
    await client.patch(GATEWAYS, 'waypoint', 'shop', theirs, { type: 'merge' });
    expect(await fails('apply', '-n', 'shop', '--for', 'all')).to.match(
      /\nSomebody else has changed the Gateway shop\/waypoint, .*waypoint-for; change it with kubectl/,
    );
    const asBefore = { metadata: { labels: { [label]: null } } };
    await client.patch(GATEWAYS, 'waypoint', 'shop', asBefore, { type: 'merge' });
  });

  it('lists them, and says how they are', async () => {
    await objectUntil(client, GATEWAYS, { namespace: 'shop', name: 'other' }, (object) =>
      JSON.stringify(object?.status ?? '').includes('Resource programmed'),
    );
    expect(await prints('list', '-n', 'shop')).to.equal(
      'NAME         REVISION     TRAFFIC TYPE     PROGRAMMED\nother        default      all              True\nwaypoint     default      service          True\n',
    );
    expect(await prints('list', '-n', 'bank')).to.equal('No waypoints found.\n');
    expect(await prints('list', '-A')).to.match(/^NAMESPACE {5}NAME .*\nshop {10}other /);
    expect(await prints('status', '-n', 'shop')).to.match(
      /\nother +True +Programmed +Programmed +Resource programmed, assigned to service\(s\) other\.shop\.svc\.cluster\.local:15008\n/,
    );
  });

  it('waits as long as it is told to, and says what is missing', async () => {
    fate = 'unready';
    const late = await fails('apply', '-n', 'bank', '--wait', '--waypoint-timeout', '2s');
    expect(late).to.match(/bank\/waypoint is not ready after 2 s: AddressNotAssigned: No pod/);
    const { code, stdout } = await waypoint('status', '-n', 'bank', '--no-wait');
    expect(code).to.equal(0);
    expect(stdout).to.match(/\nwaypoint +False +Programmed +AddressNotAssigned +No pod/);
    const waited = await waypoint('status', '-n', 'bank', '--waypoint-timeout', '1s');
    expect(waited.code).to.equal(1);
    expect(waited.stdout).to.match(/AddressNotAssigned/);
    fate = 'ready';
    await kubelet.refresh();
    expect(await prints('status', '-n', 'bank')).to.match(/\nwaypoint +True/);
  });

  it('prints what it would apply', async () => {
    const printed = await prints('generate', '-n', 'shop', '--for', 'workload', '-r', 'canary');
    expect(parse(printed)).to.deep.equal({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: {
        name: 'waypoint',
        namespace: 'shop',
        labels: { 'istio.io/waypoint-for': 'workload', 'istio.io/rev': 'canary' },
      },
      spec: {
        gatewayClassName: 'istio-waypoint',
        listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
      },
    });
  });

  it('deletes the named ones, or all, and nothing that is no waypoint', async () => {
    await client.create(GATEWAYS, {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'ingress', namespace: 'shop' },
      spec: {
        gatewayClassName: 'nginx',
        listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }],
      },
    });
    expect(await fails('delete', '-n', 'shop')).to.match(/^Which waypoints\?/);
    expect(await fails('delete', '-n', 'shop', 'other', '--all')).to.match(/^Which waypoints\?/);
    expect(await fails('delete', '-n', 'shop', 'other', 'gone')).to.match(/no waypoint shop\/gone/);
    expect(await fails('delete', '-n', 'shop', 'ingress')).to.match(/ingress is not a waypoint/);
    expect(await fails('apply', '-n', 'shop', '--name', 'ingress')).to.match(/of another class/);
    const { code, stdout, stderr } = await waypoint('delete', '-n', 'shop', 'other');
    expect({ code, stdout }).to.deep.equal({ code: 0, stdout: 'waypoint shop/other deleted\n' });
    expect(stderr).to.match(/still has the label "istio\.io\/use-waypoint: other"/);
    expect(await prints('delete', '-n', 'shop', '--all')).to.equal(
      'waypoint shop/waypoint deleted\n',
    );
    const { items } = await client.list(GATEWAYS, { namespace: 'shop' });
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal(['ingress']);
  });

  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['apply', '-n', 'nowhere'], /^There is no namespace "nowhere"/],
    [['apply', '-n', 'shop', '--for', 'pods'], /^Unknown traffic type "pods"/],
    [['apply', '-n', 'shop', '--name', 'none'], /reserved/],
    [['apply', '-n', 'shop', '--waypoint-timeout', '90'], /^Cannot read --waypoint-timeout "90"/],
    [['apply', '--nonsense'], /--nonsense[^]*Usage: ambit waypoint/],
    [['list', '--context', 'none'], /it has no context "none"/],
    [['paint'], /^There is no command "waypoint paint"[^]*Usage/],
  ];
  for (const [args, expected] of wrong) {
    it(`refuses "${args.join(' ')}"`, async () => {
      expect(await fails(...args)).to.match(expected);
    });
  }

  it('explains itself', async () => {
    expect(await prints('apply', '--help')).to.match(/^Usage: ambit waypoint COMMAND/);
  });
});
