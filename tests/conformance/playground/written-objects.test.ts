// What the API server makes of objects as people write them, against the documented behaviour of Kubernetes.

import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { StoredObject } from '#playground/api-server/object.ts';
import type { Store } from '#playground/api-server/store.ts';
import { asTester, builtin, refusal, shopStore } from '#tests/support/api-store.ts';

function create(store: Store, plural: string, body: object): StoredObject {
  return store.create(builtin(store, plural), 'shop', body, asTester);
}

const template = {
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image: 'ambit/echo', ports: [{ containerPort: 80 }] }] },
};
const web = {
  metadata: { name: 'web' },
  spec: { selector: { matchLabels: { app: 'web' } }, template },
};
const service = { metadata: { name: 'web' }, spec: { ports: [{ port: 80 }] } };

const pod = (spec: object): object => ({ metadata: { name: 'web' }, spec });

describe('defaults', () => {
  it('complete a pod', () => {
    const created = create(shopStore(), 'pods', {
      metadata: { name: 'web' },
      spec: {
        containers: [
          { name: 'web', image: 'ambit/echo:1', readinessProbe: { httpGet: { port: 80 } } },
        ],
      },
    });
    expect(created['spec']).to.deep.equal({
      containers: [
        {
          name: 'web',
          image: 'ambit/echo:1',
          readinessProbe: {
            httpGet: { port: 80, path: '/', scheme: 'HTTP' },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          imagePullPolicy: 'IfNotPresent',
          resources: {},
        },
      ],
      dnsPolicy: 'ClusterFirst',
      restartPolicy: 'Always',
      securityContext: {},
      terminationGracePeriodSeconds: 30,
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
      preemptionPolicy: 'PreemptLowerPriority',
      priority: 0,
      tolerations: ['not-ready', 'unreachable'].map((key) => ({
        effect: 'NoExecute',
        key: `node.kubernetes.io/${key}`,
        operator: 'Exists',
        tolerationSeconds: 300,
      })),
    });
    expect(created['status']).to.deep.equal({ phase: 'Pending', qosClass: 'BestEffort' });
  });

  it('complete a deployment, and count its generation from 1', () => {
    const deployment = create(shopStore(), 'deployments', web);
    expect(deployment['spec']).to.deep.include({
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: {
        type: 'RollingUpdate',
        rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' },
      },
    });
    expect(deployment.metadata.generation).to.equal(1);
  });

  it('give a service an address of its own, which is free again when it has gone', () => {
    const store = shopStore();
    const first = create(store, 'services', service);
    expect(first)
      .to.have.nested.property('spec.clusterIP')
      .that.matches(/^10\.96\./);
    expect(first).to.have.nested.property('spec.ports[0]').that.deep.equals({
      port: 80,
      protocol: 'TCP',
      targetPort: 80,
    });
    const taken = (first['spec'] as { clusterIP: string }).clusterIP;
    const second = { metadata: { name: 'b' }, spec: { ...service.spec, clusterIP: taken } };
    expect(refusal(() => create(store, 'services', second)).message).to.equal(
      `Service "b" is invalid: spec.clusterIPs: Invalid value: ["${taken}"]: failed to allocate IP ${taken}: provided IP is already allocated`,
    );
    store.delete(builtin(store, 'services'), { namespace: 'shop', name: 'web' });
    expect(create(store, 'services', second)).to.have.nested.property('spec.clusterIP', taken);
  });

  it('keep a headless service without an address', () => {
    const spec = { ...service.spec, clusterIP: 'None' };
    const headless = create(shopStore(), 'services', { metadata: { name: 'web' }, spec });
    expect(headless).to.have.nested.property('spec.clusterIPs').that.deep.equals(['None']);
  });

  it('encode what people write as stringData', () => {
    const body = { metadata: { name: 'key' }, stringData: { a: 'text' } };
    const secret = create(shopStore(), 'secrets', body);
    expect(secret).to.deep.include({ type: 'Opaque', data: { a: 'dGV4dA==' } });
    expect(secret).to.not.have.property('stringData');
  });
});

describe('validation', () => {
  const container = { name: 'web', image: 'i' };
  const table: readonly [string, object, string][] = [
    ['pods', pod({ containers: [] }), 'Pod "web" is invalid: spec.containers: Required value'],
    [
      'pods',
      pod({ containers: [{ name: 'web' }] }),
      'Pod "web" is invalid: spec.containers[0].image: Required value',
    ],
    [
      'pods',
      pod({ containers: [container, container] }),
      'Pod "web" is invalid: spec.containers[1].name: Duplicate value: "web"',
    ],
    [
      'pods',
      pod({ containers: [container], restartPolicy: 'Sometimes' }),
      'Pod "web" is invalid: spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
    ],
    [
      'pods',
      pod({ containers: [{ ...container, ports: [{ containerPort: 70_000 }] }] }),
      'Pod "web" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
    [
      'pods',
      pod({ containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/v' }] }] }),
      'Pod "web" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
    [
      'pods',
      pod({
        containers: [{ ...container, resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }],
      }),
      'Pod "web" is invalid: spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
    [
      'configmaps',
      { metadata: { name: 'Web' } },
      `ConfigMap "Web" is invalid: metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ],
    [
      'deployments',
      { ...web, spec: { ...web.spec, selector: { matchLabels: { app: 'other' } } } },
      'Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ],
    [
      'deployments',
      { ...web, spec: { ...web.spec, replicas: -1 } },
      'Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'services',
      { metadata: { name: 'web' }, spec: {} },
      'Service "web" is invalid: spec.ports: Required value',
    ],
    [
      'services',
      { metadata: { name: 'web' }, spec: { ports: [{ port: 80 }, { port: 81 }] } },
      'Service "web" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]',
    ],
    [
      'services',
      { metadata: { name: 'web' }, spec: { ports: [{ port: 80 }], clusterIP: '1.2.3.4' } },
      'Service "web" is invalid: spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.96.0.0/16',
    ],
    [
      'roles',
      { metadata: { name: 'web' }, rules: [{ verbs: [] }] },
      'Role.rbac.authorization.k8s.io "web" is invalid: rules[0].verbs: Required value: verbs must contain at least one value',
    ],
  ];
  for (const [plural, body, message] of table) {
    it(`says ${message.slice(0, 90)}`, () => {
      expect(refusal(() => create(shopStore(), plural, body))).to.include({ code: 422, message });
    });
  }
});

describe('updates', () => {
  it('of a deployment count its generation when they change what is wanted', () => {
    const store = shopStore();
    const kind = builtin(store, 'deployments');
    const place = { namespace: 'shop', name: 'web' };
    create(store, 'deployments', web);
    const scaled = { type: 'merge', body: { spec: { replicas: 3 } } } as const;
    expect(store.patch(kind, place, scaled, asTester).object.metadata.generation).to.equal(2);
    const labelled = { type: 'merge', body: { metadata: { labels: { a: 'b' } } } } as const;
    expect(store.patch(kind, place, labelled, asTester).object.metadata.generation).to.equal(2);
  });

  it('of the object leave its status alone, and the other way round', () => {
    const store = shopStore();
    const kind = builtin(store, 'deployments');
    const place = { namespace: 'shop', name: 'web' };
    create(store, 'deployments', web);
    const both = {
      type: 'merge',
      body: { spec: { replicas: 3 }, status: { replicas: 7 } },
    } as const;
    const status = { ...asTester, subresource: 'status' };
    expect(store.patch(kind, place, both, status).object).to.deep.include({
      status: { replicas: 7 },
    });
    expect(store.get(kind, place)).to.have.nested.property('spec.replicas', 1);
    const { object } = store.patch(
      kind,
      place,
      { type: 'merge', body: { status: null } },
      asTester,
    );
    expect(object).to.deep.include({ status: { replicas: 7 } });
  });

  it('cannot change the selector of a deployment, the address of a service or the node of a pod', () => {
    const store = shopStore();
    create(store, 'deployments', web);
    create(store, 'services', service);
    create(store, 'pods', { metadata: { name: 'web' }, spec: template.spec });
    const refused = (plural: string, spec: object): string | undefined =>
      refusal(() =>
        store.patch(
          builtin(store, plural),
          { namespace: 'shop', name: 'web' },
          { type: 'merge', body: { spec } },
          asTester,
        ),
      ).message;
    expect(refused('deployments', { selector: { matchLabels: { a: 'b' } } })).to.include(
      'spec.selector: Invalid value: {"matchLabels":{"app":"web","a":"b"}}: field is immutable',
    );
    expect(refused('services', { clusterIP: '10.96.0.9' })).to.include('may not change once set');
    expect(refused('pods', { nodeName: 'node-2' })).to.include(
      'pod updates may not change fields other than',
    );
  });

  it('bind a pod to a node once', () => {
    const store = shopStore();
    const kind = builtin(store, 'pods');
    const place = { namespace: 'shop', name: 'web' };
    create(store, 'pods', { metadata: { name: 'web' }, spec: template.spec });
    const options = { ...asTester, subresource: 'binding' };
    const bind = (node: string): StoredObject =>
      store.patch(kind, place, { type: 'merge', body: { spec: { nodeName: node } } }, options)
        .object;
    expect(bind('node-1')).to.have.nested.property('spec.nodeName', 'node-1');
    expect(refusal(() => bind('node-2')).message).to.include('already assigned to node "node-1"');
  });
});

describe('deletion', () => {
  it('of a pod that runs waits for its kubelet, which deletes without grace', () => {
    const store = shopStore();
    const kind = builtin(store, 'pods');
    const place = { namespace: 'shop', name: 'web' };
    create(store, 'pods', { metadata: { name: 'web' }, spec: { ...template.spec, nodeName: 'n' } });
    const { object, removed } = store.delete(kind, place);
    expect(removed).to.equal(false);
    expect(object.metadata.deletionGracePeriodSeconds).to.equal(30);
    expect(store.delete(kind, place, { gracePeriodSeconds: 0 }).removed).to.equal(true);
  });

  it('of a namespace waits for its finalizers and refuses new content', () => {
    const store = shopStore();
    const kind = builtin(store, 'namespaces');
    expect(store.delete(kind, { name: 'shop' }).object['status']).to.deep.equal({
      phase: 'Terminating',
    });
    expect(refusal(() => create(store, 'configmaps', { metadata: { name: 'a' } }))).to.include({
      code: 403,
      message:
        'configmaps "a" is forbidden: unable to create new content in namespace shop because it is being terminated',
    });
    const finalized = { ...store.get(kind, { name: 'shop' }), spec: { finalizers: [] } };
    store.update(kind, { name: 'shop' }, finalized, { ...asTester, subresource: 'finalize' });
    expect(refusal(() => store.get(kind, { name: 'shop' })).code).to.equal(404);
  });
});
