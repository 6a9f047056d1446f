// The controllers, through a real API server; the kubelets are played. Everything is waited for by watching.

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { readManifests } from '#cli/mesh/manifests.ts';
import { type Clock, systemClock } from '#common/clock.ts';
import { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import {
  CONFIG_MAPS,
  DAEMON_SETS,
  type DaemonSet,
  DEPLOYMENTS,
  type Deployment,
  ENDPOINT_SLICES,
  type EndpointSlice,
  EVENTS,
  type KubeObject,
  NAMESPACES,
  namespacedName,
  PODS,
  type Pod,
  REPLICA_SETS,
  type ResourceKind,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '#kube/resources.ts';
import { type Controllers, startControllers } from '#playground/controllers/start.ts';
import { errorLogger, startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';
import { FakeKubelet } from '#tests/support/fake-kubelet.ts';
import { createObject } from '#tests/support/manifests.ts';

const NAMESPACE = 'shop';
const labels = { app: 'web' };
const template = {
  metadata: { labels },
  spec: {
    containers: [
      { name: 'web', image: 'ambit/echo', ports: [{ name: 'http', containerPort: 80 }] },
    ],
  },
};
const web: Deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: NAMESPACE },
  spec: { replicas: 3, selector: { matchLabels: labels }, template },
};
const agent: DaemonSet = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'agent', namespace: NAMESPACE },
  spec: {
    selector: { matchLabels: { app: 'agent' } },
    template: { ...template, metadata: { labels: { app: 'agent' } } },
  },
};

describe('the controllers of the playground', () => {
  let server: TestApiServer;
  let client: KubeClient;
  let controllers: Controllers;
  let kubelet: FakeKubelet;

  beforeEach(async () => {
    server = await startApiServer();
    client = new KubeClient(server.access());
    const caPem = server.credentials.authority.certificatePem;
    controllers = startControllers({ client, caPem, log: errorLogger() });
    await controllers.running;
    kubelet = new FakeKubelet(client);
    await kubelet.join({ name: 'node-1' }, { name: 'node-2' });
    await client.create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE },
    });
    await until(SERVICE_ACCOUNTS, ({ length }) => length === 1);
  });

  afterEach(async () => {
    kubelet.stop();
    controllers.stop();
    client.close();
    await server[Symbol.asyncDispose]();
  });

  /** The namespace's objects of a kind, as soon as they are as wanted. */
  function until<T extends KubeObject>(
    kind: ResourceKind<T>,
    isWanted: (objects: readonly T[]) => boolean,
  ): Promise<readonly T[]> {
    const informer = new Informer(client, kind, kind.namespaced ? { namespace: NAMESPACE } : {});
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isWanted(informer.list())) return;
        informer.stop();
        resolve(informer.list());
      };
      informer.on({ added: look, changed: look, removed: look });
      informer.start();
      void informer.synced.then(look);
    });
  }

  async function rolledOut(): Promise<Deployment> {
    const [deployment] = await until(DEPLOYMENTS, ([found]) => {
      const { observedGeneration, updatedReplicas, replicas, availableReplicas } =
        found?.status ?? {};
      const wanted = found?.spec.replicas ?? 1;
      return (
        observedGeneration === found?.metadata.generation &&
        [updatedReplicas, replicas, availableReplicas].every((count) => count === wanted)
      );
    });
    if (deployment === undefined) throw new Error('No deployment');
    return deployment;
  }

  async function restart(): Promise<void> {
    const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
    const patch = { spec: { template: { metadata: { annotations } } } };
    await client.patch(DEPLOYMENTS, 'web', NAMESPACE, patch, { type: 'strategic' });
  }

  it('give a namespace what its pods need', async () => {
    const [map] = await until(CONFIG_MAPS, ({ length }) => length === 1);
    expect(map?.metadata.name).to.equal('kube-root-ca.crt');
    expect(map?.data?.['ca.crt']).to.include('BEGIN CERTIFICATE');
  });

  it('make a deployment run on all nodes, and tell how far it is', async () => {
    await client.create(DEPLOYMENTS, web);
    const { metadata, status } = await rolledOut();
    expect(metadata.annotations?.['deployment.kubernetes.io/revision']).to.equal('1');
    expect(
      status?.conditions?.map(({ type, status: is, reason }) => [type, is, reason]),
    ).to.have.deep.members([
      ['Progressing', 'True', 'NewReplicaSetAvailable'],
      ['Available', 'True', 'MinimumReplicasAvailable'],
    ]);
    const pods = await until(PODS, ({ length }) => length === 3);
    expect(new Set(pods.map(({ spec }) => spec.nodeName)).size).to.equal(2);
    await until(EVENTS, (events) => {
      const reasons = new Set(events.map(({ reason }) => reason));
      return ['ScalingReplicaSet', 'SuccessfulCreate', 'Scheduled'].every((one) =>
        reasons.has(one),
      );
    });
  });

  it('restart a deployment without going below what has to be available', async () => {
    await client.create(DEPLOYMENTS, web);
    await rolledOut();
    const available: number[] = [];
    const informer = new Informer(client, DEPLOYMENTS, { namespace: NAMESPACE });
    informer.on({
      added: () => undefined,
      changed: ({ status }) => available.push(status?.availableReplicas ?? 0),
      removed: () => undefined,
    });
    informer.start();
    await informer.synced;
    await restart();
    const { metadata } = await rolledOut();
    informer.stop();
    expect(metadata.annotations?.['deployment.kubernetes.io/revision']).to.equal('2');
    expect(Math.min(...available)).to.be.at.least(3);
    const sets = await until(REPLICA_SETS, ({ length }) => length === 2);
    expect(sets.map(({ spec }) => spec.replicas)).to.have.members([0, 3]);
  });

  it('scale a deployment up and down', async () => {
    await client.create(DEPLOYMENTS, web);
    await rolledOut();
    for (const replicas of [5, 1]) {
      await client.patch(DEPLOYMENTS, 'web', NAMESPACE, { spec: { replicas } }, { type: 'merge' });
      await rolledOut();
      await until(PODS, ({ length }) => length === replicas);
    }
  });

  it('delete what a deleted deployment owned', async () => {
    await client.create(DEPLOYMENTS, web);
    await rolledOut();
    await client.delete(DEPLOYMENTS, 'web', NAMESPACE, { propagationPolicy: 'Background' });
    await until(REPLICA_SETS, ({ length }) => length === 0);
    await until(PODS, ({ length }) => length === 0);
  });

  it('delete what is owned by something of a kind that comes later, and that is not there', async () => {
    const [definition] = readManifests('10-crds/gateways.yaml');
    if (definition === undefined) throw new Error('No definition');
    const owner = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: 'way' };
    await client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'owned',
        namespace: NAMESPACE,
        ownerReferences: [{ ...owner, uid: '5e2cd51f-1d13-4c3a-9c2b-6e6f0c0b8a11' }],
      },
    });
    // As long as nobody knows the kind, nobody knows whether the owner is there.
    await client.create(DEPLOYMENTS, web);
    await rolledOut();
    await until(CONFIG_MAPS, (maps) => maps.some(({ metadata }) => metadata.name === 'owned'));
    await createObject(client, definition);
    await until(CONFIG_MAPS, (maps) => maps.every(({ metadata }) => metadata.name !== 'owned'));
  });

  it('keep a deployment that is deleted in the foreground until its pods are gone', async () => {
    await client.create(DEPLOYMENTS, web);
    await rolledOut();
    await client.delete(DEPLOYMENTS, 'web', NAMESPACE, { propagationPolicy: 'Foreground' });
    await until(DEPLOYMENTS, ({ length }) => length === 0);
    const { items } = await client.list(REPLICA_SETS, { namespace: NAMESPACE });
    expect(items).to.deep.equal([]);
    await until(PODS, ({ length }) => length === 0);
  });

  it('leave pods behind when their set is deleted as an orphanage, and adopt them again', async () => {
    await client.create(DEPLOYMENTS, { ...web, spec: { ...web.spec, replicas: 1 } });
    await rolledOut();
    const [set] = await until(REPLICA_SETS, ({ length }) => length === 1);
    const [pod] = await until(PODS, ({ length }) => length === 1);
    const name = set?.metadata.name ?? '';
    await client.delete(DEPLOYMENTS, 'web', NAMESPACE, { propagationPolicy: 'Orphan' });
    await until(REPLICA_SETS, ([one]) => one?.metadata.ownerReferences === undefined);
    await client.delete(REPLICA_SETS, name, NAMESPACE, { propagationPolicy: 'Orphan' });
    await until(PODS, ([one]) => one?.metadata.ownerReferences === undefined);
    await client.create(DEPLOYMENTS, { ...web, spec: { ...web.spec, replicas: 1 } });
    await rolledOut();
    const pods = await until(PODS, ([one]) => one?.metadata.ownerReferences !== undefined);
    expect(pods.map(uidOf)).to.deep.equal([pod?.metadata.uid]);
  });

  it('run one pod of a daemon set on every node, also on one that comes later', async () => {
    await client.create(DAEMON_SETS, agent);
    await until(DAEMON_SETS, ([set]) => set?.status?.numberAvailable === 2);
    await kubelet.join({ name: 'node-3' });
    await until(DAEMON_SETS, ([set]) => set?.status?.numberAvailable === 3);
    const pods = await until(PODS, ({ length }) => length === 3);
    expect(pods.map(({ spec }) => spec.nodeName)).to.have.members(['node-1', 'node-2', 'node-3']);
  });

  it('replace the pods of a changed daemon set', async () => {
    await client.create(DAEMON_SETS, agent);
    await until(DAEMON_SETS, ([set]) => set?.status?.numberAvailable === 2);
    const before = (await until(PODS, ({ length }) => length === 2)).map(uidOf);
    const patch = { spec: { template: { metadata: { annotations: { restarted: 'now' } } } } };
    await client.patch(DAEMON_SETS, 'agent', NAMESPACE, patch, { type: 'strategic' });
    await until(
      DAEMON_SETS,
      ([set]) =>
        set?.status?.observedGeneration === set?.metadata.generation &&
        set?.status?.updatedNumberScheduled === 2 &&
        set.status.numberAvailable === 2,
    );
    const pods = await until(PODS, ({ length }) => length === 2);
    expect(before).to.not.include.members(pods.map(uidOf));
  });

  it('list the pods of a service by their named port, ready or not', async () => {
    await client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: NAMESPACE },
      spec: { selector: labels, ports: [{ name: 'web', port: 8080, targetPort: 'http' }] },
    });
    await client.create(DEPLOYMENTS, web);
    const slices = await until(ENDPOINT_SLICES, (found) => found.some((one) => readyIn(one) === 3));
    const slice = slices.find((one) => readyIn(one) === 3);
    expect(slice?.ports).to.deep.equal([{ name: 'web', protocol: 'TCP', port: 80 }]);
    expect(slice?.metadata.labels?.['kubernetes.io/service-name']).to.equal('web');
  });

  it('empty a namespace that is deleted, and let it go', async () => {
    await client.create(DEPLOYMENTS, web);
    await client.create(DAEMON_SETS, agent);
    await rolledOut();
    await client.delete(NAMESPACES, NAMESPACE);
    await until(NAMESPACES, (all) => !all.some(({ metadata }) => metadata.name === NAMESPACE));
    for (const kind of [PODS, DEPLOYMENTS, REPLICA_SETS, DAEMON_SETS, SERVICE_ACCOUNTS]) {
      const { items } = await client.list<KubeObject>(kind, { namespace: NAMESPACE });
      expect(items.map(({ metadata }) => namespacedName(metadata))).to.deep.equal([]);
    }
    expect(await isGone()).to.equal(true);
  });

  it('remove the pods of a node that does not exist, so that their namespace can go', async () => {
    controllers.stop();
    const caPem = server.credentials.authority.certificatePem;
    controllers = startControllers({ client, caPem, log: errorLogger(), clock: quick(1_000) });
    await controllers.running;
    await client.create(PODS, podOf('lost', { ...template.spec, nodeName: 'nowhere' }));
    await until(PODS, ({ length }) => length === 0);
    await client.create(PODS, podOf('ending', { ...template.spec, nodeName: 'nowhere' }));
    await client.delete(NAMESPACES, NAMESPACE);
    await until(NAMESPACES, (all) => all.every(({ metadata }) => metadata.name !== NAMESPACE));
  });

  it('bring a namespace back that the nodes need', async () => {
    const name = 'kube-node-lease';
    const { metadata } = await client.get(NAMESPACES, name);
    await client.delete(NAMESPACES, name);
    await until(NAMESPACES, (all) =>
      all.some((one) => one.metadata.name === name && uidOf(one) !== metadata.uid),
    );
  });

  it('say why a pod cannot be placed, and place it as soon as it can', async () => {
    const spec = { ...template.spec, nodeSelector: { disk: 'fast' } };
    await client.create(PODS, podOf('picky', spec));
    const events = await until(EVENTS, (all) =>
      all.some((one) => one.reason === 'FailedScheduling'),
    );
    expect(events.find(({ reason }) => reason === 'FailedScheduling')?.message).to.equal(
      "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    );
    await kubelet.join({ name: 'node-3', labels: { disk: 'fast' } });
    const [pod] = await until(PODS, ([one]) => one?.spec.nodeName !== undefined);
    expect(pod?.spec.nodeName).to.equal('node-3');
  });

  async function isGone(): Promise<boolean> {
    try {
      await client.get(NAMESPACES, NAMESPACE);
      return false;
    } catch (error) {
      return isNotFound(error);
    }
  }
});

/** Time that passes so many times as fast. */
function quick(times: number): Clock {
  const startMs = Date.now();
  return {
    now: () => startMs + (Date.now() - startMs) * times,
    setTimer: (delayMs, run) => systemClock.setTimer(delayMs / times, run),
  };
}

function podOf(name: string, spec: Pod['spec']): Pod {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: NAMESPACE }, spec };
}

function readyIn({ endpoints }: EndpointSlice): number {
  return (endpoints ?? []).filter(({ conditions }) => conditions?.ready === true).length;
}

function uidOf({ metadata }: KubeObject): string | undefined {
  return metadata.uid;
}
