// Kubernetes' own client for JavaScript, verb by verb: what it is told is what a real API server tells it.
import {
  ApiException,
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  type V1Deployment,
  VersionApi,
} from '@kubernetes/client-node';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Status } from '#playground/api-server/errors.ts';
import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';

const namespace = 'client';

const configMap = (name: string, data: Record<string, string> = {}): V1ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, labels: { of: 'client' } },
  data,
});

const deployment = (name: string): V1Deployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'main', image: 'ambit/echo' }] },
    },
  },
});

const asPatch = (strategy: string) => setHeaderOptions('Content-Type', strategy);

const applied = (value: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'applied' },
  data: { key: value },
});

/** What the server refused with. */
async function refusal(asked: Promise<unknown>): Promise<Status> {
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    const body: unknown = error.body;
    const status = (typeof body === 'string' ? JSON.parse(body) : body) as Status;
    expect(status.code).to.equal(error.code);
    return status;
  }
  throw new Error('It was not refused');
}

describe('@kubernetes/client-node against the API server of the playground', () => {
  let server: TestApiServer;
  let config: KubeConfig;
  let core: CoreV1Api;
  before(async () => {
    server = await startApiServer();
    config = new KubeConfig();
    config.loadFromFile(server.kubeconfig());
    core = config.makeApiClient(CoreV1Api);
    await core.createNamespace({ body: { metadata: { name: namespace } } });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  const create = (name: string, data: Record<string, string> = {}) =>
    core.createNamespacedConfigMap({ namespace, body: configMap(name, data) });

  const patch = (name: string, body: unknown, strategy: string, more: object = {}) =>
    core.patchNamespacedConfigMap({ namespace, name, body, ...more }, asPatch(strategy));

  const apply = (value: string, more: object) =>
    patch('applied', applied(value), PatchStrategy.ServerSideApply, more);

  describe('reads and writes', () => {
    it('creates, gets, replaces and deletes', async () => {
      const created = await create('one', { a: '1' });
      expect(created.metadata?.uid).to.match(/^[\da-f-]{36}$/);
      expect(created.metadata?.creationTimestamp).to.be.instanceOf(Date);
      const read = await core.readNamespacedConfigMap({ namespace, name: 'one' });
      expect(read.metadata?.resourceVersion).to.equal(created.metadata?.resourceVersion);
      read.data = { a: '2' };
      const replaced = await core.replaceNamespacedConfigMap({
        namespace,
        name: 'one',
        body: read,
      });
      expect(replaced.data).to.deep.equal({ a: '2' });
      const status = await core.deleteNamespacedConfigMap({ namespace, name: 'one' });
      expect(status).to.include({ status: 'Success' });
      expect(status.details).to.deep.equal({
        name: 'one',
        kind: 'configmaps',
        uid: created.metadata?.uid,
      });
    });

    it('lists by labels and fields, and in pages', async () => {
      for (const name of ['page-1', 'page-2', 'page-3']) await create(name);
      const labelSelector = 'of=client';
      const first = await core.listNamespacedConfigMap({ namespace, labelSelector, limit: 2 });
      expect(first.items.map(({ metadata }) => metadata?.name)).to.deep.equal(['page-1', 'page-2']);
      const { _continue: next } = first.metadata ?? {};
      const rest = await core.listNamespacedConfigMap({
        namespace,
        labelSelector,
        limit: 2,
        ...(next === undefined ? {} : { _continue: next }),
      });
      expect(rest.items.map(({ metadata }) => metadata?.name)).to.deep.equal(['page-3']);
      expect(rest.metadata).to.not.have.property('_continue');
      const fieldSelector = 'metadata.name=page-2';
      const one = await core.listConfigMapForAllNamespaces({ fieldSelector });
      expect(one.items.map(({ metadata }) => metadata?.namespace)).to.deep.equal([namespace]);
    });

    it('deletes a collection by its labels', async () => {
      await core.createNamespacedConfigMap({
        namespace,
        body: { metadata: { name: 'stays', labels: { of: 'others' } } },
      });
      await create('goes');
      await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'of=client' });
      const left = await core.listNamespacedConfigMap({ namespace, labelSelector: 'of' });
      expect(left.items.map(({ metadata }) => metadata?.name)).to.deep.equal(['stays']);
    });

    it('writes nothing with dryRun', async () => {
      const body = configMap('dry', { a: '1' });
      const answer = await core.createNamespacedConfigMap({ namespace, body, dryRun: 'All' });
      expect(answer.metadata?.uid).to.match(/^[\da-f-]{36}$/);
      expect(
        await refusal(core.readNamespacedConfigMap({ namespace, name: 'dry' })),
      ).to.deep.include({ code: 404 });
    });

    it('uses objects of any kind, found by discovery', async () => {
      const objects = KubernetesObjectApi.makeApiClient(config);
      const metadata = { name: 'any', namespace };
      const whole = deployment('any');
      whole.metadata = metadata;
      const made = await objects.create<V1Deployment>(whole);
      expect(made.metadata?.generation).to.equal(1);
      const identity = { apiVersion: 'apps/v1', kind: 'Deployment', metadata };
      const patched = await objects.patch({
        ...identity,
        spec: { replicas: 3 },
      } as KubernetesObject);
      expect(patched).to.have.nested.property('spec.replicas', 3);
      const { items } = await objects.list('apps/v1', 'Deployment', namespace);
      expect(items.map((item) => item.metadata?.name)).to.deep.equal(['any']);
      await objects.delete(identity);
    });

    it('scales, and writes status apart from the rest', async () => {
      const apps = config.makeApiClient(AppsV1Api);
      await apps.createNamespacedDeployment({ namespace, body: deployment('scaled') });
      const at = { namespace, name: 'scaled' };
      const scale = await apps.readNamespacedDeploymentScale(at);
      expect(scale.spec?.replicas).to.equal(1);
      expect(scale.status?.selector).to.equal('app=scaled');
      scale.spec = { replicas: 4 };
      await apps.replaceNamespacedDeploymentScale({ ...at, body: scale });
      const wide = await apps.readNamespacedDeployment(at);
      expect(wide.spec?.replicas).to.equal(4);
      Object.assign(wide, { spec: deployment('scaled').spec });
      wide.status = { observedGeneration: 2 };
      const told = await apps.replaceNamespacedDeploymentStatus({ ...at, body: wide });
      expect(told.status?.observedGeneration).to.equal(2);
      expect(told.spec?.replicas).to.equal(4);
    });

    it('knows the version of the server', async () => {
      const { major, minor } = await config.makeApiClient(VersionApi).getCode();
      expect([major, minor]).to.satisfy((parts: string[]) =>
        parts.every((part) => /^\d+$/.test(part)),
      );
    });
  });

  describe('patches', () => {
    it('by JSON patch', async () => {
      await create('json', { a: '1' });
      const answer = await patch(
        'json',
        [
          { op: 'test', path: '/data/a', value: '1' },
          { op: 'add', path: '/data/b', value: '2' },
        ],
        PatchStrategy.JsonPatch,
      );
      expect(answer.data).to.deep.equal({ a: '1', b: '2' });
      const wrong = [{ op: 'test', path: '/data/a', value: '9' }];
      const { code, reason } = await refusal(patch('json', wrong, PatchStrategy.JsonPatch));
      expect([code, reason]).to.deep.equal([422, 'Invalid']);
    });

    it('by merge patch', async () => {
      await create('merge', { a: '1', b: '2' });
      const answer = await patch('merge', { data: { a: null, c: '3' } }, PatchStrategy.MergePatch);
      expect(answer.data).to.deep.equal({ b: '2', c: '3' });
    });

    it('by strategic merge patch, which knows the keys of lists', async () => {
      const apps = config.makeApiClient(AppsV1Api);
      await apps.createNamespacedDeployment({ namespace, body: deployment('strategic') });
      const containers = [{ name: 'second', image: 'ambit/curl' }];
      const answer = await apps.patchNamespacedDeployment(
        { namespace, name: 'strategic', body: { spec: { template: { spec: { containers } } } } },
        asPatch(PatchStrategy.StrategicMergePatch),
      );
      const names = answer.spec?.template.spec?.containers.map(({ name }) => name);
      expect(names).to.have.members(['main', 'second']);
    });

    it('by server-side apply, where others own their fields', async () => {
      await apply('1', { fieldManager: 'alice' });
      const { code, reason, details, message } = await refusal(apply('2', { fieldManager: 'bob' }));
      expect([code, reason]).to.deep.equal([409, 'Conflict']);
      expect(message).to.equal('Apply failed with 1 conflict: conflict with "alice": .data.key');
      expect(details?.causes).to.deep.equal([
        { reason: 'FieldManagerConflict', message: 'conflict with "alice"', field: '.data.key' },
      ]);
      const taken = await apply('2', { fieldManager: 'bob', force: true });
      expect(taken.data).to.deep.equal({ key: '2' });
      const managers = taken.metadata?.managedFields?.map(({ manager, operation }) => [
        manager,
        operation,
      ]);
      expect(managers).to.deep.equal([['bob', 'Apply']]);
    });

    it('refuses one that nobody knows', async () => {
      const { code, reason } = await refusal(patch('merge', {}, 'application/json'));
      expect([code, reason]).to.deep.equal([415, 'UnsupportedMediaType']);
    });
  });

  describe('refusals', () => {
    it('404 names what was not found', async () => {
      const status = await refusal(core.readNamespacedConfigMap({ namespace, name: 'none' }));
      expect(status).to.deep.equal({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: 'configmaps "none" not found',
        reason: 'NotFound',
        details: { name: 'none', kind: 'configmaps' },
        code: 404,
      });
    });

    it('409 for a name that is taken, and for a version that is not the current one', async () => {
      const old = await create('taken');
      const taken = await refusal(create('taken'));
      expect([taken.code, taken.reason]).to.deep.equal([409, 'AlreadyExists']);
      expect(taken.message).to.equal('configmaps "taken" already exists');
      await core.replaceNamespacedConfigMap({
        namespace,
        name: 'taken',
        body: configMap('taken', { a: '1' }),
      });
      const overtaken = await refusal(
        core.replaceNamespacedConfigMap({ namespace, name: 'taken', body: old }),
      );
      expect([overtaken.code, overtaken.reason]).to.deep.equal([409, 'Conflict']);
      expect(overtaken.message).to.contain('the object has been modified');
    });

    it('422 names every field that is wrong', async () => {
      const body = deployment('Wrong_Name');
      body.spec = {
        selector: { matchLabels: { app: 'other' } },
        template: { spec: { containers: [] } },
      };
      const apps = config.makeApiClient(AppsV1Api);
      const status = await refusal(apps.createNamespacedDeployment({ namespace, body }));
      expect([status.code, status.reason]).to.deep.equal([422, 'Invalid']);
      expect(status.details).to.include({ name: 'Wrong_Name', group: 'apps', kind: 'Deployment' });
      expect(status.details?.causes?.map(({ field }) => field)).to.include.members([
        'metadata.name',
        'spec.template.metadata.labels',
        'spec.template.spec.containers',
      ]);
    });

    it('422 for a patch with an unknown field, when it is asked for strictly', async () => {
      await create('strict');
      const unknown = { datta: {} };
      await patch('strict', unknown, PatchStrategy.MergePatch);
      const strictly = { fieldValidation: 'Strict' };
      const status = await refusal(patch('strict', unknown, PatchStrategy.MergePatch, strictly));
      expect([status.code, status.reason]).to.deep.equal([422, 'Invalid']);
      expect(status.message).to.contain('strict decoding error: unknown field "datta"');
    });

    it('403 names who may not do what, and where', async () => {
      const bob = new KubeConfig();
      bob.loadFromFile(server.kubeconfig(server.user('bob', 'dev')));
      const status = await refusal(
        bob.makeApiClient(CoreV1Api).listNamespacedSecret({ namespace }),
      );
      expect([status.code, status.reason]).to.deep.equal([403, 'Forbidden']);
      expect(status.message).to.equal(
        'secrets is forbidden: User "bob" cannot list resource "secrets" in API group "" in the namespace "client"',
      );
      expect(status.details).to.deep.equal({ kind: 'secrets' });
    });
  });
});
