import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { KubeClient } from '#kube/client.ts';
import type { DaemonSet, Deployment, KubeObject, PodSpec } from '#kube/resources.ts';
import { builtInImages } from '#playground/images/built-in.ts';
import { findImage } from '#playground/node/images.ts';
import { type Answered, startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';
import { createObject, readManifests } from '#tests/support/manifests.ts';

const PEER = 'PeerAuthentication';
const POLICY = 'AuthorizationPolicy';
const GATEWAY = 'Gateway';
const SECURITY = 'security.istio.io/v1';
const PATHS: Readonly<Record<string, { readonly apiVersion: string; readonly plural: string }>> = {
  [PEER]: { apiVersion: SECURITY, plural: 'peerauthentications' },
  [POLICY]: { apiVersion: SECURITY, plural: 'authorizationpolicies' },
  [GATEWAY]: { apiVersion: 'gateway.networking.k8s.io/v1', plural: 'gateways' },
};
const mesh = { name: 'mesh', port: 15008, protocol: 'HBONE' };
const waypoint = { gatewayClassName: 'istio-waypoint', listeners: [mesh] };

describe('manifests', () => {
  let api: TestApiServer;
  let client: KubeClient;
  const objects = readManifests();

  before(async () => {
    api = await startApiServer();
    client = new KubeClient(api.access());
    for (const object of objects) await createObject(client, object);
  });

  after(async () => {
    client.close();
    await api[Symbol.asyncDispose]();
  });

  function workload(name: string): { spec: PodSpec; metadata: KubeObject['metadata'] } {
    const found = objects.find(
      ({ kind, metadata }) => metadata.name === name && /Deployment|DaemonSet/.test(kind),
    ) as DaemonSet | Deployment | undefined;
    const template = found?.spec.template as { spec: PodSpec; metadata: KubeObject['metadata'] };
    return template;
  }

  it('are taken by an API server as they stand, in their order', () => {
    expect(objects.map(({ kind }) => kind)).to.include.members(['Deployment', 'DaemonSet']);
  });

  it('name images that the playground knows, with a tag', () => {
    const images = ['istiod', 'istio-cni-node', 'ztunnel'].map(
      (name) => workload(name).spec.containers[0]?.image ?? '',
    );
    expect(images.map((image) => image.replace(/:.*/, ''))).to.deep.equal([
      'ambit/istiod',
      'ambit/cni',
      'ambit/ztunnel',
    ]);
    for (const image of images) {
      expect(image).to.match(/:\d+\.\d+\.\d+$/);
      expect(findImage(builtInImages(), image)).to.not.equal(undefined);
    }
  });

  it('keep the mesh itself out of the mesh', () => {
    for (const name of ['istiod', 'istio-cni-node', 'ztunnel']) {
      const { labels } = workload(name).metadata;
      expect(labels, name).to.include({
        'istio.io/dataplane-mode': 'none',
        'sidecar.istio.io/inject': 'false',
      });
    }
  });

  it('mount what each container says it mounts', () => {
    for (const name of ['istio-cni-node', 'ztunnel']) {
      const { spec } = workload(name);
      const volumes = (spec.volumes ?? []).map((volume) => volume.name);
      const mounts = spec.containers[0]?.volumeMounts?.map((mount) => mount.name);
      expect(mounts?.toSorted(), name).to.deep.equal(volumes.toSorted());
    }
  });

  const good: readonly (readonly [string, object])[] = [
    [PEER, { mtls: { mode: 'STRICT' }, portLevelMtls: { 80: { mode: 'DISABLE' } } }],
    [POLICY, {}],
    [
      POLICY,
      {
        action: 'DENY',
        selector: { matchLabels: { app: 'shop' } },
        rules: [
          {
            from: [{ source: { principals: ['cluster.local/ns/a/sa/b'], notNamespaces: ['c'] } }],
            to: [{ operation: { ports: ['80'] } }],
            when: [{ key: 'source.namespace', values: ['a'] }],
          },
        ],
      },
    ],
    [GATEWAY, waypoint],
    [
      GATEWAY,
      {
        ...waypoint,
        addresses: [{ type: 'Hostname', value: 'a.example' }],
        infrastructure: {
          labels: { team: 'a' },
          annotations: { note: 'b' },
          parametersRef: { group: '', kind: 'ConfigMap', name: 'c' },
        },
        listeners: [
          {
            ...mesh,
            allowedRoutes: {
              kinds: [{ kind: 'HTTPRoute' }],
              namespaces: { from: 'Selector', selector: { matchLabels: { team: 'a' } } },
            },
          },
          {
            name: 'https',
            hostname: '*.example',
            port: 443,
            protocol: 'HTTPS',
            tls: { certificateRefs: [{ name: 'certificate' }], options: { a: 'b' } },
          },
          { name: 'proxy', port: 15088, protocol: 'istio.io/PROXY' },
        ],
      },
    ],
  ];
  for (const [index, [kind, spec]] of good.entries()) {
    it(`take a ${kind} ${JSON.stringify(spec)}`, async () => {
      const answer = await create(kind, `good-${index}`, spec);
      expect(answer.code, answer.text).to.equal(201);
    });
  }

  const bad: readonly (readonly [string, object, string])[] = [
    [PEER, { mtls: { mode: 'STRONG' } }, 'spec.mtls.mode'],
    [PEER, { mtl: { mode: 'STRICT' } }, 'unknown field "spec.mtl"'],
    [POLICY, { action: 'REJECT' }, 'spec.action'],
    [POLICY, { rules: [{ from: [{ sourc: {} }] }] }, 'unknown field "spec.rules[0].from[0].sourc"'],
    [POLICY, { rules: [{ when: [{ values: ['a'] }] }] }, 'spec.rules[0].when[0].key'],
    [GATEWAY, { gatewayClassName: 'istio-waypoint' }, 'spec.listeners'],
    [GATEWAY, { ...waypoint, listeners: [{ ...mesh, port: 0 }] }, 'spec.listeners[0].port'],
    [GATEWAY, { ...waypoint, listeners: [mesh, mesh] }, 'Duplicate value'],
    [GATEWAY, { ...waypoint, listener: mesh }, 'unknown field "spec.listener"'],
  ];
  for (const [kind, spec, why] of bad) {
    it(`refuse a ${kind} ${JSON.stringify(spec)}`, async () => {
      const answer = await create(kind, 'bad', spec);
      expect(answer.code).to.be.oneOf([400, 422]);
      expect((answer.json() as { message: string }).message).to.contain(why);
    });
  }

  function create(kind: string, name: string, spec: object): Promise<Answered> {
    const { apiVersion = '', plural = '' } = PATHS[kind] ?? {};
    const path = `/apis/${apiVersion}/namespaces/default/${plural}`;
    const body = { apiVersion, kind, metadata: { name }, spec };
    return api.ask(`${path}?fieldValidation=Strict`, { method: 'POST', body });
  }
});
