// Kubernetes' own client for JavaScript: watches, its informer, and who is who.
import {
  ApiException,
  ApiextensionsV1Api,
  AuthenticationV1Api,
  AuthorizationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  type Informer,
  KubeConfig,
  type KubernetesObject,
  makeInformer,
  type ObjectCache,
  PatchStrategy,
  RbacAuthorizationV1Api,
  setHeaderOptions,
  type V1ConfigMap,
  Watch,
} from '@kubernetes/client-node';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';

const namespace = 'informed';
const MAPS = `/api/v1/namespaces/${namespace}/configmaps`;

const till = (drawers: number) => ({
  apiVersion: 'shop.example.com/v1',
  kind: 'Till',
  metadata: { name: 'big' },
  spec: { drawers },
});

/** Takes what happens, and lets a test wait for it. */
class Heard {
  readonly texts: string[] = [];
  #look: () => void = () => undefined;

  add(text: string): void {
    this.texts.push(text);
    this.#look();
  }

  /** Until it has been heard `times` times. */
  async has(text: string, times = 1): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#look = () => {
      if (this.texts.filter((heard) => heard === text).length >= times) resolve();
    };
    this.#look();
    await promise;
  }
}

describe('what @kubernetes/client-node hears from the API server of the playground', () => {
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

  const create = (name: string, labels: Record<string, string> = {}) =>
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels } } });
  const merge = (name: string, body: object) =>
    core.patchNamespacedConfigMap(
      { namespace, name, body },
      setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
    );
  const label = (name: string, color: string | null) =>
    merge(name, { metadata: { labels: { color } } });
  const write = (name: string, value: string) => merge(name, { data: { value } });
  const remove = (name: string) => core.deleteNamespacedConfigMap({ namespace, name });

  /** Watches until `until` has been heard; the types and names of the events. */
  async function watch(
    query: Record<string, string | boolean | number>,
    until: string,
    act: () => Promise<unknown> = async () => undefined,
  ): Promise<readonly string[]> {
    const heard = new Heard();
    const listen = (type: string, object: KubernetesObject & { code?: number }) => {
      const { name, annotations = {} } = object.metadata ?? {};
      const what = [name ?? '', object.code ?? '', ...Object.keys(annotations)];
      heard.add(`${type} ${what.join(' ').trim()}`);
    };
    const watching = await new Watch(config).watch(MAPS, query, listen, () => heard.add('END'));
    await act();
    await heard.has(until);
    watching.abort();
    return heard.texts;
  }

  describe('in a watch', () => {
    it('what changes from a version on', async () => {
      const { metadata } = await create('seen');
      const resourceVersion = metadata?.resourceVersion ?? '';
      const heard = await watch({ resourceVersion }, 'DELETED seen', async () => {
        await write('seen', '1');
        await remove('seen');
      });
      expect(heard).to.deep.equal(['MODIFIED seen', 'DELETED seen']);
    });

    it('what comes into a selection and what leaves it', async () => {
      const { metadata } = await create('selected');
      const resourceVersion = metadata?.resourceVersion ?? '';
      const query = { resourceVersion, labelSelector: 'color=red' };
      const heard = await watch(query, 'DELETED selected', async () => {
        await label('selected', 'red');
        await label('selected', null);
      });
      expect(heard).to.deep.equal(['ADDED selected', 'DELETED selected']);
      await remove('selected');
    });

    it('all that is there, and then that this was all, when it asks for the initial events', async () => {
      await create('first', { initial: 'yes' });
      await create('second', { initial: 'yes' });
      const end = 'BOOKMARK k8s.io/initial-events-end';
      const query = {
        labelSelector: 'initial',
        sendInitialEvents: true,
        allowWatchBookmarks: true,
        resourceVersionMatch: 'NotOlderThan',
      };
      const heard = await watch(query, end);
      expect(heard.slice(0, -1)).to.have.members(['ADDED first', 'ADDED second']);
      expect(heard.at(-1)).to.equal(end);
    });

    it('that the version is too old', async () => {
      const heard = await watch({ resourceVersion: '1' }, 'END');
      expect(heard).to.deep.equal(['ERROR 410', 'END']);
    });

    it('the end, when its time is over', async () => {
      const { metadata } = await core.listNamespacedConfigMap({ namespace });
      const resourceVersion = metadata?.resourceVersion ?? '';
      expect(await watch({ resourceVersion, timeoutSeconds: 1 }, 'END')).to.deep.equal(['END']);
    });
  });

  describe('by its informer', () => {
    let informer: (Informer<V1ConfigMap> & ObjectCache<V1ConfigMap>) | undefined;
    afterEach(async () => {
      await informer?.stop();
    });

    function inform(path: string, list = () => core.listNamespacedConfigMap({ namespace })): Heard {
      informer = makeInformer(config, path, list);
      const heard = new Heard();
      for (const verb of ['add', 'update', 'delete'] as const) {
        informer.on(verb, ({ metadata }) => heard.add(`${verb} ${metadata?.name}`));
      }
      informer.on('connect', () => heard.add('connect'));
      informer.on('error', (error: unknown) => heard.add(`error ${String(error)}`));
      return heard;
    }

    it('keeps what there is, over watches that end', async () => {
      await create('kept');
      const heard = inform(`${MAPS}?timeoutSeconds=1`);
      await informer?.start();
      await heard.has('add kept');
      await heard.has('connect', 2);
      await write('kept', '1');
      await heard.has('update kept');
      expect(informer?.get('kept', namespace)?.data).to.deep.equal({ value: '1' });
      await remove('kept');
      await heard.has('delete kept');
      expect(informer?.get('kept', namespace)).to.equal(undefined);
      expect(heard.texts.filter((text) => text.startsWith('error'))).to.deep.equal([]);
    });

    it('lists again when what it knows is too old', async () => {
      let lists = 0;
      const heard = inform(MAPS, async () => {
        const list = await core.listNamespacedConfigMap({ namespace });
        lists += 1;
        // As one has it that was away for long.
        if (lists === 1) list.metadata = { resourceVersion: '1' };
        return list;
      });
      await informer?.start();
      await heard.has('connect', 2);
      await create('afterwards');
      await heard.has('add afterwards');
      expect(lists).to.equal(2);
    });
  });

  describe('of who is who, and who may what', () => {
    it('tokens of service accounts, bound to an audience and a pod', async () => {
      await core.createNamespacedServiceAccount({
        namespace,
        body: { metadata: { name: 'till' } },
      });
      const pod = await core.createNamespacedPod({
        namespace,
        body: {
          metadata: { name: 'till-1' },
          spec: { serviceAccountName: 'till', containers: [{ name: 'main', image: 'ambit/echo' }] },
        },
      });
      const boundObjectRef = {
        apiVersion: 'v1',
        kind: 'Pod',
        name: 'till-1',
        uid: pod.metadata?.uid ?? '',
      };
      const spec = { audiences: ['istio-ca'], expirationSeconds: 600, boundObjectRef };
      const request = await core.createNamespacedServiceAccountToken({
        namespace,
        name: 'till',
        body: { spec },
      });
      expect(request.status?.expirationTimestamp).to.be.instanceOf(Date);
      const token = request.status?.token ?? '';
      const review = async (audiences: string[]) => {
        const body = { spec: { token, audiences } };
        const api = config.makeApiClient(AuthenticationV1Api);
        return (await api.createTokenReview({ body })).status;
      };
      const known = await review(['istio-ca']);
      expect(known?.authenticated).to.equal(true);
      expect(known?.audiences).to.deep.equal(['istio-ca']);
      expect(known?.user?.username).to.equal('system:serviceaccount:informed:till');
      expect(known?.user?.groups).to.deep.equal([
        'system:serviceaccounts',
        'system:serviceaccounts:informed',
        'system:authenticated',
      ]);
      expect(known?.user?.extra).to.include.keys(
        'authentication.kubernetes.io/credential-id',
        'authentication.kubernetes.io/pod-name',
        'authentication.kubernetes.io/pod-uid',
      );
      const other = await review(['others']);
      expect(other?.authenticated).to.not.equal(true);
      expect(other?.error).to.contain(
        'token audiences ["istio-ca"] is invalid for the target audiences ["others"]',
      );
    });

    it('roles, by asking what one may and by trying it', async () => {
      const rbac = config.makeApiClient(RbacAuthorizationV1Api);
      const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
      await rbac.createNamespacedRole({ namespace, body: { metadata: { name: 'reader' }, rules } });
      await rbac.createNamespacedRoleBinding({
        namespace,
        body: {
          metadata: { name: 'reader' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
          subjects: [{ kind: 'User', name: 'ann', apiGroup: 'rbac.authorization.k8s.io' }],
        },
      });
      const ann = new KubeConfig();
      ann.loadFromFile(server.kubeconfig(server.user('ann')));
      const may = async (verb: string) => {
        const resourceAttributes = { namespace, verb, resource: 'configmaps' };
        const body = { spec: { resourceAttributes } };
        const api = ann.makeApiClient(AuthorizationV1Api);
        return (await api.createSelfSubjectAccessReview({ body })).status?.allowed;
      };
      expect([await may('list'), await may('create')]).to.deep.equal([true, false]);
      const asAnn = ann.makeApiClient(CoreV1Api);
      expect((await asAnn.listNamespacedConfigMap({ namespace })).items).to.not.equal(undefined);
      const refused = await asAnn
        .createNamespacedConfigMap({ namespace, body: { metadata: { name: 'x' } } })
        .then(
          () => undefined,
          (error: unknown) => error,
        );
      expect(refused).to.be.instanceOf(ApiException).and.include({ code: 403 });
    });
  });

  it('custom resources, as soon as they are defined', async () => {
    const extensions = config.makeApiClient(ApiextensionsV1Api);
    const custom = config.makeApiClient(CustomObjectsApi);
    const kind = { group: 'shop.example.com', version: 'v1', plural: 'tills' };
    const schema = {
      openAPIV3Schema: {
        type: 'object',
        properties: {
          spec: { type: 'object', properties: { drawers: { type: 'integer', maximum: 3 } } },
        },
      },
    };
    await extensions.createCustomResourceDefinition({
      body: {
        metadata: { name: 'tills.shop.example.com' },
        spec: {
          group: kind.group,
          scope: 'Namespaced',
          names: { plural: 'tills', kind: 'Till' },
          versions: [{ name: 'v1', served: true, storage: true, schema }],
        },
      },
    });
    const heard = new Heard();
    const watching = await new Watch(config).watch(
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      { fieldSelector: 'metadata.name=tills.shop.example.com' },
      (_, { status }: { status?: { conditions?: { type: string; status: string }[] } }) => {
        for (const { type, status: is } of status?.conditions ?? []) heard.add(`${type} ${is}`);
      },
      () => undefined,
    );
    await heard.has('Established True');
    watching.abort();
    const put = (drawers: number) =>
      custom.createNamespacedCustomObject({ ...kind, namespace, body: till(drawers) });
    const refused = await put(9).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).to.be.instanceOf(ApiException).and.include({ code: 422 });
    expect(await put(2)).to.have.nested.property('metadata.generation', 1);
    const list = (await custom.listNamespacedCustomObject({ ...kind, namespace })) as {
      kind: string;
    };
    expect(list.kind).to.equal('TillList');
    await extensions.deleteCustomResourceDefinition({ name: 'tills.shop.example.com' });
  });
});
