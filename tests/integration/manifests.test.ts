import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { createObjects } from '#cli/mesh/install.ts';
import { readManifests } from '#cli/mesh/manifests.ts';
import { KubeClient } from '#kube/client.ts';
import type { DaemonSet, Deployment, KubeObject, PodSpec } from '#kube/resources.ts';
import { builtInImages } from '#playground/images/built-in.ts';
import { findImage } from '#playground/node/images.ts';
import { type Answered, startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';

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
    await createObjects(client, objects);
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

  const istiodMay: readonly [verb: string, what: string, may: boolean][] = [
    ['create', 'configmaps in shop', true],
    ['watch', 'configmaps/istio-ca-root-cert', true],
    ['patch', 'configmaps/istio-ca-root-cert in shop', true],
    ['list', 'configmaps', false],
    ['get', 'configmaps/coredns in kube-system', false],
    ['patch', 'configmaps/coredns in kube-system', false],
    ['get', 'secrets/istio-ca-secret in istio-system', true],
    ['get', 'secrets/other in istio-system', false],
    ['list', 'secrets in istio-system', false],
    ['update', 'secrets/istio-ca-secret in istio-system', false],
    ['delete', 'secrets/istio-ca-secret in istio-system', false],
    ['update', 'leases.coordination.k8s.io/istio-status-leader in istio-system', true],
    ['update', 'leases.coordination.k8s.io/istio-gateway-deployment-default in istio-system', true],
    ['update', 'leases.coordination.k8s.io/other in istio-system', false],
    ['watch', 'authorizationpolicies.security.istio.io', true],
    ['update', 'authorizationpolicies.security.istio.io/rule in shop', false],
    ['create', 'pods in shop', false],
  ];
  for (const [verb, what, may] of istiodMay) {
    it(`${may ? 'let' : 'do not let'} istiod ${verb} ${what}`, async () => {
      const [, resource, group = '', name, namespace] =
        /^([a-z]+)(?:\.([^/ ]+))?(?:\/(\S+))?(?: in (\S+))?$/.exec(what) ?? [];
      const review = { user: 'system:serviceaccount:istio-system:istiod' };
      const resourceAttributes = { verb, resource, group, name, namespace };
      const { status } = await client.request<{ status: { allowed: boolean } }>(
        'POST',
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          spec: { ...review, groups: ['system:authenticated'], resourceAttributes },
        },
      );
      expect(status.allowed).to.equal(may);
    });
  }

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
