import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { selfSigned } from '#common/tls/self-signed.ts';
import { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import { CONFIG_MAPS } from '#kube/resources.ts';
import { issueNodeCertificate } from '#playground/api-server/certificates.ts';
import type { Status } from '#playground/api-server/errors.ts';
import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';

interface Stored {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Record<string, string>;
    readonly managedFields?: unknown;
  };
  readonly spec?: Record<string, unknown>;
  readonly data?: Record<string, string>;
}

const configMap = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});
const inDefault = { metadata: { name: 'seen', namespace: 'default' } };
const ACCOUNTS = '/api/v1/namespaces/default/serviceaccounts';
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const MAPS = '/api/v1/namespaces/default/configmaps';

const role = (name: string, resource: string) => ({
  metadata: { name },
  rules: [{ apiGroups: [''], resources: [resource], verbs: ['get'] }],
});
const podOf = (serviceAccountName: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { labels: { app: 'bread' } },
  spec: { serviceAccountName, containers: [{ name: 'main', image: 'x' }] },
});
const binding = (name: string, clusterRole: string) => ({
  metadata: { name },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterRole },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'carol' }],
});
const mirror = (spec: object) => ({
  metadata: { name: 'mirror', annotations: { 'kubernetes.io/config.mirror': 'hash' } },
  spec: { nodeName: 'node-7', containers: [{ name: 'main', image: 'x' }], ...spec },
});

describe('the API server of the playground', () => {
  let server: TestApiServer;
  before(async () => {
    server = await startApiServer();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  async function create(path: string, body: object): Promise<Stored> {
    const answer = await server.ask(path, { method: 'POST', body });
    expect(answer.code, answer.text).to.equal(201);
    return answer.json() as Stored;
  }
  /** The lines of a watch over HTTP/1.1 until enough have come. */
  function linesOf(path: string, count: number, headers: Record<string, string> = {}) {
    const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>[]>();
    const started = Promise.withResolvers<void>();
    const { admin, authority } = server.credentials;
    const options = {
      cert: admin.certificatePem,
      key: admin.privateKeyPem,
      headers,
      agent: false,
    };
    const request = httpsRequest(
      `${server.url}${path}`,
      { ...options, ca: authority.certificatePem },
      (response) => {
        started.resolve();
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          const lines = text.split('\n').slice(0, -1);
          if (lines.length < count) return;
          resolve(lines.map((line) => JSON.parse(line) as Record<string, unknown>));
          request.destroy();
        });
        response.on('end', () => resolve([]));
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') reject(error);
    });
    request.end();
    return { lines: promise, started: started.promise };
  }
  const kubelet = (name: string) =>
    issueNodeCertificate(server.credentials.authority, { name, addresses: [] }, Date.now());
  const applyPod = (serviceAccountName: string, name: string) =>
    server.ask(`/api/v1/namespaces/default/pods/${name}?fieldManager=me`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/apply-patch+yaml' },
      body: podOf(serviceAccountName),
    });
  const askToken = async (name: string, spec: object) => {
    const answer = await server.ask(`${ACCOUNTS}/${name}/token`, {
      method: 'POST',
      body: { spec },
    });
    return `${answer.code} ${(answer.json() as Status).message ?? ''}`;
  };

  async function token(name: string, spec: object): Promise<string> {
    const answer = await server.ask(`${ACCOUNTS}/${name}/token`, {
      method: 'POST',
      body: { spec },
    });
    expect(answer.code, answer.text).to.equal(201);
    return (answer.json() as { status: { token: string } }).status.token;
  }
  async function review(spec: object): Promise<Record<string, unknown>> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
    const answer = await server.ask(TOKEN_REVIEWS, { method: 'POST', body });
    return (answer.json() as { status: Record<string, unknown> }).status;
  }
  const askAsNode = (name: string, spec: object) =>
    server.ask(`${ACCOUNTS}/till/token`, { method: 'POST', as: kubelet(name), body: { spec } });

  describe('knows its clients', () => {
    it('by their certificate: the common name is the user, organizations are groups', async () => {
      const asked = { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' };
      const answer = await server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
        method: 'POST',
        as: server.user('bob', 'dev', 'ops'),
        body: asked,
      });
      expect(answer.code).to.equal(201);
      expect((answer.json() as { status: unknown }).status).to.deep.equal({
        userInfo: { username: 'bob', groups: ['dev', 'ops', 'system:authenticated'] },
      });
    });

    it('refuses a certificate that another authority signed', async () => {
      const { certificatePem, privateKeyPem } = selfSigned({
        uris: ['spiffe://x/y'],
        notAfterMs: Date.now() + 60_000,
      });
      const answer = await server.ask('/version', { as: { certificatePem, privateKeyPem } });
      expect(answer.code).to.equal(401);
      expect(answer.json()).to.include({ kind: 'Status', reason: 'Unauthorized' });
    });

    it('refuses a token that it has not signed', async () => {
      expect((await server.ask('/version', { token: 'a.b.c' })).code).to.equal(401);
    });

    it('lets strangers see the version and no more', async () => {
      const stranger = { headers: { authorization: 'Basic eDp5' }, token: '' };
      const version = await server.ask('/version', { ...stranger, headers: {} });
      expect(version.code).to.equal(200);
      const pods = await server.ask('/api/v1/pods', { as: server.user('nobody') });
      expect(pods.code).to.equal(403);
      expect(pods.json()).to.deep.include({
        reason: 'Forbidden',
        message:
          'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" at the cluster scope',
        details: { kind: 'pods' },
      });
    });

    it('lets who may see one object select it from its collection by its name', async () => {
      const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
      const rules = [
        { apiGroups: [''], resources: ['secrets'], resourceNames: ['own'], verbs: ['list'] },
      ];
      await create(`${rbac}/roles`, { metadata: { name: 'own' }, rules });
      const user = { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'dave' };
      await create(`${rbac}/rolebindings`, {
        metadata: { name: 'own' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'own' },
        subjects: [user],
      });
      const as = server.user('dave');
      const select = async (query: string): Promise<number> =>
        (await server.ask(`/api/v1/namespaces/default/secrets${query}`, { as })).code;
      expect(await select('?fieldSelector=metadata.name%3Down')).to.equal(200);
      expect(await select('?fieldSelector=metadata.name%3Dother')).to.equal(403);
      expect(await select('?fieldSelector=metadata.name!%3Down')).to.equal(403);
      expect(await select('')).to.equal(403);
    });

    it('acts as somebody else for who may impersonate', async () => {
      const headers = { 'impersonate-user': 'alice' };
      const asAlice = await server.ask('/api/v1/pods', { headers });
      expect((asAlice.json() as Status).message).to.contain('User "alice" cannot list');
      const byBob = await server.ask('/version', { headers, as: server.user('bob') });
      expect((byBob.json() as Status).message).to.equal(
        'users "alice" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope',
      );
    });
  });

  describe('lets nobody give away more than they have', () => {
    const RBAC = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
    before(async () => {
      await create(`${RBAC}/rolebindings`, binding('carol', 'admin'));
    });

    it('by a role', async () => {
      const as = server.user('carol', 'dev');
      const make = (body: object) => server.ask(`${RBAC}/roles`, { method: 'POST', as, body });
      expect((await make(role('readers', 'secrets'))).code).to.equal(201);
      const refused = await make(role('nodes', 'nodes'));
      expect(refused.code).to.equal(403);
      expect((refused.json() as Status).message).to.equal(
        'roles.rbac.authorization.k8s.io "nodes" is forbidden: user "carol" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n' +
          '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}',
      );
    });

    it('by a binding', async () => {
      const as = server.user('carol', 'dev');
      const bind = (body: object) =>
        server.ask(`${RBAC}/rolebindings`, { method: 'POST', as, body });
      expect((await bind(binding('viewer', 'view'))).code).to.equal(201);
      const refused = await bind(binding('all', 'cluster-admin'));
      expect(refused.code).to.equal(403);
      expect((refused.json() as Status).message).to.contain(
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
      );
      expect((await bind(binding('later', 'not-yet'))).code).to.equal(404);
    });

    it('by applying what they may only change', async () => {
      const rules = [
        { apiGroups: [''], resources: ['configmaps', 'pods'], verbs: ['get', 'patch'] },
      ];
      await create(`${RBAC}/roles`, { metadata: { name: 'changer' }, rules });
      const user = { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'erin' };
      await create(`${RBAC}/rolebindings`, {
        metadata: { name: 'changer' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'changer' },
        subjects: [user],
      });
      const apply = (name: string) =>
        server.ask(`${MAPS}/${name}?fieldManager=erin`, {
          method: 'PATCH',
          as: server.user('erin'),
          headers: { 'content-type': 'application/apply-patch+yaml' },
          body: { apiVersion: 'v1', kind: 'ConfigMap', data: { by: 'erin' } },
        });
      const refused = await apply('new-one');
      expect(refused.code).to.equal(403);
      expect((refused.json() as Status).message).to.contain(
        'User "erin" cannot create resource "configmaps" in API group "" in the namespace "default"',
      );
      await create(MAPS, configMap('old-one'));
      expect((await apply('old-one')).code).to.equal(200);
    });

    it('by a role that collects others', async () => {
      const cluster = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
      // All about roles but escalate and bind.
      const verbs = ['get', 'create', 'update', 'patch'];
      const apiGroups = ['rbac.authorization.k8s.io'];
      const rules = [{ apiGroups, resources: ['clusterroles'], verbs }];
      await create(cluster, { metadata: { name: 'role-keeper' }, rules });
      await create(cluster.replace('roles', 'rolebindings'), binding('keeper', 'role-keeper'));
      const as = server.user('carol', 'dev');
      const body = { metadata: { name: 'collector' }, rules: [] };
      const made = await server.ask(cluster, { method: 'POST', as, body });
      expect(made.code, made.text).to.equal(201);
      const matchLabels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
      const widened = await server.ask(`${cluster}/collector`, {
        method: 'PATCH',
        as,
        headers: { 'content-type': 'application/merge-patch+json' },
        body: { aggregationRule: { clusterRoleSelectors: [{ matchLabels }] } },
      });
      expect(widened.code).to.equal(403);
      expect((widened.json() as Status).message).to.contain(
        'must have cluster-admin privileges to use the aggregationRule',
      );
    });
  });

  describe('keeps the agent of a node to its node', () => {
    const PODS = '/api/v1/namespaces/default/pods';
    const show = (spec: object) =>
      server.ask(PODS, { method: 'POST', as: kubelet('node-7'), body: mirror(spec) });
    const secret = { secretKeyRef: { name: 's', key: 'k' } };
    const refused: readonly [what: string, spec: object, why: string][] = [
      ['on another node', { nodeName: 'node-8' }, 'can only create pods with spec.nodeName set to'],
      [
        'of an account',
        { serviceAccountName: 'till' },
        'a mirror pod may not reference service accounts',
      ],
      [
        'with a token',
        {
          volumes: [
            { name: 't', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } },
          ],
        },
        'a mirror pod may not use ServiceAccountToken volume projections',
      ],
      [
        'with a secret as a volume',
        { volumes: [{ name: 's', secret: { secretName: 's' } }] },
        'a mirror pod may not reference secrets',
      ],
      [
        'with a secret in its environment',
        { containers: [{ name: 'main', image: 'x', env: [{ name: 'S', valueFrom: secret }] }] },
        'a mirror pod may not reference secrets',
      ],
    ];
    for (const [what, spec, why] of refused) {
      it(`refuses a mirror pod ${what}`, async () => {
        const answer = await show(spec);
        expect(answer.code).to.equal(403);
        expect((answer.json() as Status).message).to.contain(why);
      });
    }

    it('takes a mirror pod of its own', async () => {
      const answer = await show({});
      expect(answer.code, answer.text).to.equal(201);
    });
  });

  describe('completes pods', () => {
    it('that are applied as it does those that are created, and leaves them to nobody', async () => {
      await create(ACCOUNTS, { metadata: { name: 'baker' } });
      const made = await applyPod('baker', 'bread');
      expect(made.code, made.text).to.equal(201);
      const { spec = {}, metadata } = made.json() as Stored;
      const volumes = spec['volumes'] as readonly { name: string }[];
      expect(volumes.map(({ name }) => name.replace(/-\w+$/, ''))).to.deep.equal([
        'kube-api-access',
      ]);
      expect(spec).to.include({ serviceAccount: 'baker', priority: 0 });
      expect(JSON.stringify(metadata.managedFields)).to.contain('f:containers');
      expect(JSON.stringify(metadata.managedFields)).to.not.contain('f:volumes');
      const again = await applyPod('baker', 'bread');
      expect(again.code, again.text).to.equal(200);
      expect((again.json() as Stored).spec?.['volumes']).to.have.length(1);
      expect((await applyPod('nobody', 'cake')).code).to.equal(403);
    });
  });

  describe('gives and checks tokens of service accounts', () => {
    before(async () => {
      await create(ACCOUNTS, { metadata: { name: 'till' } });
      await create('/api/v1/nodes', { metadata: { name: 'node-1' } });
      await create('/api/v1/namespaces/default/pods', {
        metadata: { name: 'till-1' },
        spec: {
          nodeName: 'node-1',
          serviceAccountName: 'till',
          containers: [{ name: 'main', image: 'x' }],
        },
      });
    });

    it('a token signs in as its account', async () => {
      const own = await token('till', {});
      const answer = await server.ask('/api/v1/pods', { token: own });
      expect((answer.json() as Status).message).to.contain(
        'User "system:serviceaccount:default:till" cannot list',
      );
    });

    it('a token for another audience is not for us, and a review says for whom it is', async () => {
      const foreign = await token('till', { audiences: ['istio-ca'] });
      expect((await server.ask('/version', { token: foreign })).code).to.equal(401);
      expect(await review({ token: foreign }))
        .to.include.keys('error')
        .and.not.have.property('authenticated');
      expect(await review({ token: foreign, audiences: ['istio-ca', 'other'] })).to.deep.include({
        authenticated: true,
        audiences: ['istio-ca'],
      });
    });

    it('a token of a pod names pod and node, and ends with the pod', async () => {
      const pods = '/api/v1/namespaces/default/pods';
      const bound = await token('till', {
        audiences: ['istio-ca'],
        boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'till-1' },
      });
      const status = await review({ token: bound, audiences: ['istio-ca'] });
      const { extra, ...user } = status['user'] as { extra: Record<string, string[]> };
      expect(user).to.deep.include({
        username: 'system:serviceaccount:default:till',
        groups: [
          'system:serviceaccounts',
          'system:serviceaccounts:default',
          'system:authenticated',
        ],
      });
      expect(extra['authentication.kubernetes.io/pod-name']).to.deep.equal(['till-1']);
      expect(extra['authentication.kubernetes.io/node-name']).to.deep.equal(['node-1']);
      await server.ask(`${pods}/till-1?gracePeriodSeconds=0`, { method: 'DELETE' });
      expect(await review({ token: bound, audiences: ['istio-ca'] })).to.deep.equal({
        user: {},
        error: '[invalid bearer token, pod has been deleted]',
      });
    });

    it('a node gets tokens for the pods on it only', async () => {
      await create('/api/v1/namespaces/default/pods', {
        metadata: { name: 'till-2' },
        spec: {
          nodeName: 'node-1',
          serviceAccountName: 'till',
          containers: [{ name: 'a', image: 'x' }],
        },
      });
      const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'till-2' };
      expect((await askAsNode('node-1', { boundObjectRef })).code).to.equal(201);
      expect(((await askAsNode('node-2', { boundObjectRef })).json() as Status).message).to.contain(
        'requested token bound to a pod scheduled on a different node',
      );
      expect(((await askAsNode('node-1', {})).json() as Status).message).to.contain(
        'not bound to a pod',
      );
    });

    it('refuses what cannot be asked for', async () => {
      expect(await askToken('nobody', {})).to.equal('404 serviceaccounts "nobody" not found');
      expect(await askToken('till', { expirationSeconds: 60 })).to.contain(
        '422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes',
      );
      expect(await askToken('till', { boundObjectRef: { kind: 'Pod', name: 'gone' } })).to.equal(
        '404 pods "gone" not found',
      );
    });

    it('publishes the keys that verify its tokens', async () => {
      const document = await server.ask('/.well-known/openid-configuration');
      expect(document.json()).to.include({
        issuer: 'https://kubernetes.default.svc.cluster.local',
      });
      const { keys } = (await server.ask('/openid/v1/jwks')).json() as { keys: unknown[] };
      expect(keys).to.have.length(1);
    });
  });

  describe('stores', () => {
    it('JSON and YAML, and answers in both', async () => {
      const made = await server.ask(MAPS, { method: 'POST', body: configMap('json', { a: '1' }) });
      expect(made.code).to.equal(201);
      const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {b: "2"}\n';
      const headers = { 'content-type': 'application/yaml', accept: 'application/yaml' };
      const other = await server.ask(MAPS, { method: 'POST', body: yaml, headers });
      expect(other.headers['content-type']).to.equal('application/yaml');
      expect(other.text).to.contain('b: "2"');
    });

    it('lists as objects, as a table and as metadata', async () => {
      const list = await server.ask(MAPS);
      expect(list.json()).to.include({ kind: 'ConfigMapList', apiVersion: 'v1' });
      const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
      const table = (await server.ask(MAPS, { headers: { accept } })).json() as {
        kind: string;
        columnDefinitions: { name: string }[];
        rows: { cells: unknown[]; object: { kind: string } }[];
      };
      expect(table.kind).to.equal('Table');
      expect(table.columnDefinitions.map(({ name }) => name)).to.deep.equal([
        'Name',
        'Data',
        'Age',
      ]);
      const row = table.rows.find(({ cells }) => cells[0] === 'json');
      expect(row?.cells[1]).to.equal(1);
      expect(row?.object.kind).to.equal('PartialObjectMetadata');
      const partial = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
      const metadata = await server.ask(MAPS, { headers: { accept: partial } });
      expect(metadata.json()).to.include({ kind: 'PartialObjectMetadataList' });
    });

    it('lists more than fits into one piece, over both versions of HTTP', async () => {
      const secrets = '/api/v1/namespaces/default/secrets';
      const value = Buffer.alloc(1_000, 'x').toString('base64');
      const names = Array.from({ length: 300 }, (_, index) => `long-${1_000 + index}`);
      for (const name of names) {
        const body = { metadata: { name }, data: { value } };
        await server.ask(secrets, { method: 'POST', body });
      }
      const list = (await server.ask(secrets)).json() as { kind: string; items: Stored[] };
      expect(list.kind).to.equal('SecretList');
      expect(list.items.map(({ metadata }) => metadata.name)).to.deep.equal(names);
      const { admin, authority } = server.credentials;
      const session = connect(server.url, {
        ca: authority.certificatePem,
        cert: admin.certificatePem,
        key: admin.privateKeyPem,
      });
      try {
        let text = '';
        for await (const chunk of session.request({ ':path': secrets })) text += String(chunk);
        expect(JSON.parse(text)).to.deep.equal(list);
      } finally {
        session.destroy();
      }
    });

    it('patches', async () => {
      const headers = { 'content-type': 'application/merge-patch+json' };
      const body = '{"metadata":{"labels":{"x":"y"}}}';
      const answer = await server.ask(`${MAPS}/json`, { method: 'PATCH', headers, body });
      expect((answer.json() as Stored).metadata.labels).to.deep.equal({ x: 'y' });
    });

    it('updates only what has not changed meanwhile', async () => {
      const current = (await server.ask(`${MAPS}/json`)).json() as Stored;
      const body = { ...current, data: { a: '2' } };
      expect((await server.ask(`${MAPS}/json`, { method: 'PUT', body })).code).to.equal(200);
      const late = await server.ask(`${MAPS}/json`, { method: 'PUT', body });
      expect(late.json()).to.include({ code: 409, reason: 'Conflict' });
    });

    it('deletes and says what', async () => {
      const made = await server.ask(MAPS, { method: 'POST', body: configMap('short') });
      const { uid } = (made.json() as Stored).metadata;
      const gone = await server.ask(`${MAPS}/short`, { method: 'DELETE' });
      expect(gone.json()).to.deep.include({
        status: 'Success',
        details: { name: 'short', kind: 'configmaps', uid },
      });
      expect(((await server.ask(`${MAPS}/short`)).json() as Status).message).to.equal(
        'configmaps "short" not found',
      );
    });

    it('gives a pod its account, its token volume and its tolerations', async () => {
      await server.ask('/api/v1/namespaces/default/serviceaccounts', {
        method: 'POST',
        body: { metadata: { name: 'default' } },
      });
      const answer = await server.ask('/api/v1/namespaces/default/pods', {
        method: 'POST',
        body: { metadata: { name: 'plain' }, spec: { containers: [{ name: 'main', image: 'x' }] } },
      });
      expect(answer.code, answer.text).to.equal(201);
      const { spec } = answer.json() as {
        spec: {
          serviceAccountName: string;
          volumes: { name: string; projected: { sources: object[] } }[];
          containers: { volumeMounts: { name: string; mountPath: string; readOnly: boolean }[] }[];
          tolerations: { key: string }[];
        };
      };
      expect(spec.serviceAccountName).to.equal('default');
      const [volume] = spec.volumes;
      expect(volume?.projected.sources).to.have.length(3);
      expect(spec.containers[0]?.volumeMounts).to.deep.equal([
        {
          name: volume?.name,
          mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
          readOnly: true,
        },
      ]);
      expect(spec.tolerations.map(({ key }) => key)).to.deep.equal([
        'node.kubernetes.io/not-ready',
        'node.kubernetes.io/unreachable',
      ]);
    });

    it('refuses a pod whose account is not there', async () => {
      const answer = await server.ask('/api/v1/namespaces/default/pods', {
        method: 'POST',
        body: {
          metadata: { name: 'lost' },
          spec: { serviceAccountName: 'gone', containers: [{ name: 'a', image: 'x' }] },
        },
      });
      expect(answer.json()).to.include({
        code: 403,
        message:
          'pods "lost" is forbidden: error looking up service account default/gone: serviceaccount "gone" not found',
      });
    });
  });

  describe('watches', () => {
    it('tells what is there and what happens then', async () => {
      await server.ask(MAPS, { method: 'POST', body: configMap('w1') });
      const path = `${MAPS}?watch=true&fieldSelector=metadata.name%3Dw1`;
      const { lines, started } = linesOf(path, 3);
      await started;
      await server.ask(`${MAPS}/w1`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/merge-patch+json' },
        body: '{"data":{"k":"v"}}',
      });
      await server.ask(`${MAPS}/w1`, { method: 'DELETE' });
      const types = (await lines).map((line) => line['type']);
      expect(types).to.deep.equal(['ADDED', 'MODIFIED', 'DELETED']);
    });

    it('sends rows when a table is asked for, with the columns once', async () => {
      await server.ask(MAPS, { method: 'POST', body: configMap('w2') });
      const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
      const path = `${MAPS}?watch=true&fieldSelector=metadata.name%3Dw2`;
      const { lines, started } = linesOf(path, 2, { accept });
      await started;
      await server.ask(`${MAPS}/w2`, { method: 'DELETE' });
      const tables = (await lines).map(
        (line) => line['object'] as { columnDefinitions: object[]; rows: { cells: unknown[] }[] },
      );
      expect(tables.map(({ columnDefinitions }) => columnDefinitions.length)).to.deep.equal([3, 0]);
      expect(tables.map(({ rows }) => rows[0]?.cells[0])).to.deep.equal(['w2', 'w2']);
    });

    it('answers at once although nothing happens, and ends when its time is up', async () => {
      const path = `${MAPS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dnothing`;
      const { lines, started } = linesOf(path, 1);
      await started;
      expect(await lines).to.deep.equal([]);
    });

    it('says 410 in the stream when the version is forgotten', async () => {
      const { lines } = linesOf(`${MAPS}?watch=true&resourceVersion=1`, 1);
      const [event] = await lines;
      expect(event?.['type']).to.equal('ERROR');
      expect(event?.['object']).to.include({ code: 410, reason: 'Expired' });
    });

    it('works on many streams of one HTTP/2 connection', async () => {
      const { admin, authority } = server.credentials;
      const session = connect(server.url, {
        ca: authority.certificatePem,
        cert: admin.certificatePem,
        key: admin.privateKeyPem,
      });
      try {
        const heads = Array.from({ length: 60 }, async () => {
          const stream = session.request({ ':path': `${MAPS}?watch=true&resourceVersion=0` });
          const { promise, resolve, reject } = Promise.withResolvers<number>();
          stream.on('response', (headers) => resolve(Number(headers[':status'])));
          stream.on('error', reject);
          stream.resume();
          return promise;
        });
        expect(new Set(await Promise.all(heads))).to.deep.equal(new Set([200]));
      } finally {
        session.destroy();
      }
    });
  });

  describe('serves the client and the informer of this project', () => {
    it('tells an informer what a client has written', async () => {
      const client = new KubeClient(server.access());
      const informer = new Informer(client, CONFIG_MAPS, { fieldSelector: 'metadata.name=seen' });
      const happened: string[] = [];
      const removed = Promise.withResolvers<void>();
      informer.on({
        added: (object) => void happened.push(`added ${object.metadata.name}`),
        changed: (object) => void happened.push(`changed to ${object.data?.['a']}`),
        removed: () => removed.resolve(),
      });
      informer.start();
      try {
        await informer.synced;
        const made = await client.create(CONFIG_MAPS, { ...configMap('seen'), ...inDefault });
        await client.replace(CONFIG_MAPS, { ...made, data: { a: '2' } });
        await client.delete(CONFIG_MAPS, 'seen', 'default');
        await removed.promise;
        expect(happened).to.deep.equal(['added seen', 'changed to 2']);
      } finally {
        informer.stop();
        client.close();
      }
    });
  });

  describe('says what is wrong', () => {
    const cases: readonly [string, string, Parameters<TestApiServer['ask']>[1], number, string][] =
      [
        ['an unknown path', '/nothing', {}, 404, 'NotFound'],
        ['an unknown resource', '/api/v1/namespaces/default/things', {}, 404, 'NotFound'],
        ['an unknown group', '/apis/no.such/v1/things', {}, 404, 'NotFound'],
        ['an unknown subresource', `${MAPS}/x/status`, {}, 404, 'NotFound'],
        ['a method that makes no sense', '/version', { method: 'POST' }, 405, 'MethodNotAllowed'],
        [
          'broken JSON',
          MAPS,
          { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } },
          400,
          'BadRequest',
        ],
        [
          'broken YAML',
          MAPS,
          { method: 'POST', body: 'a: [', headers: { 'content-type': 'application/yaml' } },
          400,
          'BadRequest',
        ],
        [
          'an unknown body',
          MAPS,
          { method: 'POST', body: 'x', headers: { 'content-type': 'text/csv' } },
          415,
          'UnsupportedMediaType',
        ],
        [
          'an unknown patch',
          `${MAPS}/x`,
          { method: 'PATCH', body: '{}', headers: { 'content-type': 'application/json' } },
          415,
          'UnsupportedMediaType',
        ],
        [
          'a form that we do not have',
          MAPS,
          { headers: { accept: 'text/html' } },
          406,
          'NotAcceptable',
        ],
        [
          'another kind',
          MAPS,
          { method: 'POST', body: { ...configMap('x'), kind: 'Secret' } },
          400,
          'BadRequest',
        ],
        ['a wrong selector', `${MAPS}?labelSelector=%21%21`, {}, 400, 'BadRequest'],
        ['a wrong number', `${MAPS}?limit=x`, {}, 400, 'BadRequest'],
        [
          'a body that is too large',
          MAPS,
          {
            method: 'POST',
            body: 'x'.repeat(4_000_000),
            headers: { 'content-type': 'application/json' },
          },
          413,
          'RequestEntityTooLarge',
        ],
        ['a path that is not encoded', '/api/v1/namespaces/%zz/pods', {}, 400, 'BadRequest'],
      ];
    for (const [what, path, asking, code, reason] of cases) {
      it(`${what}: ${code} ${reason}`, async () => {
        const answer = await server.ask(path, asking);
        expect(answer.json()).to.include({
          kind: 'Status',
          status: 'Failure',
          code,
          reason,
        });
        expect(answer.code).to.equal(code);
      });
    }
  });

  describe('describes itself', () => {
    it('in one document per root, when asked for aggregated discovery', async () => {
      const accept =
        'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
      const answer = await server.ask('/apis', { headers: { accept } });
      expect(answer.headers['content-type']).to.contain('as=APIGroupDiscoveryList');
      const { items } = answer.json() as { items: { metadata: { name: string } }[] };
      expect(items.map(({ metadata }) => metadata.name)).to.include.members([
        'apps',
        'authorization.k8s.io',
      ]);
    });

    it('in small documents for older clients', async () => {
      const { groups } = (await server.ask('/apis')).json() as { groups: { name: string }[] };
      expect(groups.map(({ name }) => name)).to.include('apps');
      const { resources } = (await server.ask('/api/v1')).json() as {
        resources: { name: string }[];
      };
      const names = resources.map(({ name }) => name);
      expect(names).to.include.members(['pods', 'pods/log', 'pods/exec', 'serviceaccounts/token']);
    });

    it('is alive and ready', async () => {
      for (const path of ['/healthz', '/livez', '/readyz'])
        expect((await server.ask(path)).text).to.equal('ok');
      expect((await server.ask('/readyz?verbose')).text).to.contain('[+]started ok');
    });
  });
});
