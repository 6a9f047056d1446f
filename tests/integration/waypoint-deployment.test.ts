// A Gateway becomes a waypoint: istiod as a process, a real API server with its controllers; kubelets are played.

import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import { readManifests } from '#cli/mesh/manifests.ts';
import { conditionsOf } from '#istiod/controllers/conditions.ts';
import type { KubeClient } from '#kube/client.ts';
import {
  type Condition,
  type Configuration,
  DEPLOYMENTS,
  type Deployment,
  GATEWAY_CLASSES,
  GATEWAYS,
  type KubeObject,
  type ResourceKind,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '#kube/resources.ts';
import { type Controllers, startControllers } from '#playground/controllers/start.ts';
import { errorLogger } from '#tests/bed/api-server.ts';
import { TestCluster, TestIstiod } from '#tests/bed/istiod.ts';
import { FakeKubelet, type PodFate } from '#tests/support/fake-kubelet.ts';
import { createObject } from '#tests/support/manifests.ts';
import { objectUntil } from '#tests/support/objects.ts';

const MESH = { name: 'mesh', port: 15008, protocol: 'HBONE' };

function gateway(name: string, more: { spec?: object; labels?: object } = {}): Configuration {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace: 'shop', labels: { ...more.labels } },
    spec: { gatewayClassName: 'istio-waypoint', listeners: [MESH], ...more.spec },
  };
}

describe('istiod and the waypoints of a cluster', function () {
  this.timeout(120_000);
  let cluster: TestCluster;
  let client: KubeClient;
  let istiod: TestIstiod;
  let controllers: Controllers;
  let kubelet: FakeKubelet;
  let fate: PodFate = 'ready';

  before(async () => {
    cluster = await TestCluster.start(['node-a']);
    ({ client } = cluster);
    await cluster.addNamespace('shop');
    const caPem = cluster.server.credentials.authority.certificatePem;
    controllers = startControllers({ client, caPem, log: errorLogger() });
    kubelet = new FakeKubelet(client, () => fate);
    await kubelet.keepAlive('node-a');
    istiod = await TestIstiod.start(cluster);
    // The kinds come after the control plane: it looks for them all the time.
    for (const file of ['gateways', 'gatewayclasses']) {
      for (const crd of readManifests(`10-crds/${file}.yaml`)) await createObject(client, crd);
    }
  });
  after(async () => {
    kubelet.stop();
    controllers.stop();
    await istiod[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  afterEach(function () {
    // What it waited for in vain, the control plane may know.
    if (this.currentTest?.state === 'failed') process.stderr.write(`${istiod.lines.join('\n')}\n`);
    fate = 'ready';
  });

  function until<T extends KubeObject>(
    kind: ResourceKind<T>,
    name: string,
    isWanted: (object: T | undefined) => boolean,
  ): Promise<T | undefined> {
    const place = kind.namespaced ? { namespace: 'shop' } : {};
    return objectUntil(client, kind, { ...place, name }, isWanted);
  }

  /** A Gateway as soon as a condition of the present generation has this status and reason. */
  async function untilCondition(name: string, type: string, is: string): Promise<Configuration> {
    const found = await until(GATEWAYS, name, (object) => {
      const condition = object && conditionOf(object, type);
      return (
        condition?.observedGeneration === object?.metadata.generation &&
        `${condition?.status} ${condition?.reason}` === is
      );
    });
    if (found === undefined) throw new Error(`No gateway ${name}`);
    return found;
  }

  it('makes the class of waypoints, accepts it, and makes it again', async () => {
    const made = await until(GATEWAY_CLASSES, 'istio-waypoint', accepted);
    expect(made?.spec).to.include({ controllerName: 'istio.io/mesh-controller' });
    await client.delete(GATEWAY_CLASSES, 'istio-waypoint');
    const again = await until(
      GATEWAY_CLASSES,
      'istio-waypoint',
      (object) => accepted(object) && object?.metadata.uid !== made?.metadata.uid,
    );
    expect(again).to.not.equal(undefined);
  });

  it('makes a waypoint of a Gateway, says when it works, and lets it go with the Gateway', async () => {
    fate = 'unready';
    await client.create(GATEWAYS, gateway('way', { labels: { team: 'a' } }));
    const waiting = await untilCondition('way', 'Programmed', 'False AddressNotAssigned');
    expect(waiting.status?.['addresses']).to.deep.equal([]);
    expect(conditionOf(waiting, 'Accepted')?.status).to.equal('True');
    fate = 'ready';
    await kubelet.refresh();
    const programmed = await untilCondition('way', 'Programmed', 'True Programmed');
    const service = await client.get(SERVICES, 'way', 'shop');
    expect(programmed.status?.['addresses']).to.deep.equal([
      { type: 'Hostname', value: 'way.shop.svc.cluster.local' },
      { type: 'IPAddress', value: service.spec.clusterIP },
    ]);
    expect(programmed.status?.['listeners']).to.have.nested.property('[0].name', 'mesh');
    const deployment = await client.get(DEPLOYMENTS, 'way', 'shop');
    expect(deployment.metadata.labels).to.include({ team: 'a' });

    fate = 'unready';
    await kubelet.refresh();
    const sticky = await untilCondition('way', 'Programmed', 'False AddressNotUsable');
    expect(sticky.status?.['addresses']).to.have.lengthOf(2);
    fate = 'ready';
    await kubelet.refresh();

    await client.delete(GATEWAYS, 'way', 'shop');
    for (const kind of [DEPLOYMENTS, SERVICES, SERVICE_ACCOUNTS]) {
      await until(kind as ResourceKind, 'way', (object) => object === undefined);
    }
  });

  it('puts right what somebody changes or deletes of it, but leaves the number of pods', async () => {
    await client.create(GATEWAYS, gateway('drift'));
    await untilCondition('drift', 'Programmed', 'True Programmed');
    const made = await client.get(DEPLOYMENTS, 'drift', 'shop');
    const image = imageOf(made);
    const containers = [{ name: 'istio-proxy', image: 'something/else' }];
    const change = { spec: { replicas: 2, template: { spec: { containers } } } };
    await client.patch(DEPLOYMENTS, 'drift', 'shop', change, { type: 'strategic' });
    const righted = await until(
      DEPLOYMENTS,
      'drift',
      (object) =>
        (object?.metadata.generation ?? 0) > (made.metadata.generation ?? 0) + 1 &&
        imageOf(object) === image,
    );
    expect(righted?.spec.replicas).to.equal(2);

    const { metadata } = await client.get(SERVICES, 'drift', 'shop');
    await client.delete(SERVICES, 'drift', 'shop');
    await until(
      SERVICES,
      'drift',
      (object) => object !== undefined && object.metadata.uid !== metadata.uid,
    );
    await client.delete(GATEWAYS, 'drift', 'shop');
  });

  for (const [who, name, labels] of [
    ['somebody', 'taken', {}],
    [
      'another controller of gateways',
      'managed',
      { 'gateway.istio.io/managed': 'istio.io-gateway-controller' },
    ],
  ] as const) {
    it(`does not take a Service over that ${who} has made`, async () => {
      const spec = { ports: [{ name: 'http', port: 80 }], selector: { app: 'mine' } };
      const metadata = { name, namespace: 'shop', labels };
      await client.create(SERVICES, { apiVersion: 'v1', kind: 'Service', metadata, spec });
      await client.create(GATEWAYS, gateway(name));
      await until(DEPLOYMENTS, name, (object) => object !== undefined);
      await untilCondition(name, 'Accepted', 'True Accepted');
      const service = await client.get(SERVICES, name, 'shop');
      expect(service.spec.selector).to.deep.equal({ app: 'mine' });
      await client.delete(GATEWAYS, name, 'shop');
    });
  }

  const wrong: readonly (readonly [string, Configuration, string, RegExp])[] = [
    [
      'the port of its listener',
      gateway('wrong', { spec: { listeners: [{ ...MESH, port: 8080 }] } }),
      'False ListenersNotValid',
      /No listener is valid: Expected a single listener on port 15008/,
    ],
    [
      'what it is for',
      gateway('wrong', { labels: { 'istio.io/waypoint-for': 'everything' } }),
      'False InvalidParameters',
      /"everything": want service, workload, all, none/,
    ],
  ];
  for (const [what, object, is, message] of wrong) {
    it(`says what is wrong with a Gateway: ${what}`, async () => {
      await client.create(GATEWAYS, object);
      const told = await untilCondition('wrong', 'Accepted', is);
      expect(conditionOf(told, 'Accepted')?.message).to.match(message);
      expect(conditionOf(told, 'Programmed')?.status).to.equal('False');
      expect(await exists(DEPLOYMENTS, 'wrong')).to.equal(false);
      await client.delete(GATEWAYS, 'wrong', 'shop');
      await until(GATEWAYS, 'wrong', (found) => found === undefined);
    });
  }

  it('leaves Gateways of other classes, and of other revisions, alone', async () => {
    await client.create(GATEWAYS, gateway('other', { spec: { gatewayClassName: 'nginx' } }));
    await client.create(GATEWAYS, gateway('canary', { labels: { 'istio.io/rev': 'canary' } }));
    // One that comes later is taken care of: the others have been looked at.
    await client.create(GATEWAYS, gateway('last'));
    await untilCondition('last', 'Programmed', 'True Programmed');
    for (const name of ['other', 'canary']) {
      const found = await client.get(GATEWAYS, name, 'shop');
      expect(conditionOf(found, 'Accepted')?.status ?? 'Unknown', name).to.equal('Unknown');
      expect(await exists(DEPLOYMENTS, name), name).to.equal(false);
      await client.delete(GATEWAYS, name, 'shop');
    }
    await client.delete(GATEWAYS, 'last', 'shop');
  });

  async function exists(kind: ResourceKind, name: string): Promise<boolean> {
    const { items } = await client.list(kind, { namespace: 'shop' });
    return items.some(({ metadata }) => metadata.name === name);
  }
});

function conditionOf(object: KubeObject, type: string): Condition | undefined {
  return conditionsOf(object).find((condition) => condition.type === type);
}

function accepted(object: Configuration | undefined): boolean {
  return object !== undefined && conditionOf(object, 'Accepted')?.status === 'True';
}

function imageOf(object: Deployment | undefined): string | undefined {
  return object?.spec.template.spec.containers[0]?.image;
}
