import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { KubeClient } from '#kube/client.ts';
import { KubeConnectionError, KubeError } from '#kube/errors.ts';
import { CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS } from '#kube/resources.ts';
import { ScriptedApiServer } from '#tests/support/scripted-api-server.ts';

describe('KubeClient', () => {
  let server: ScriptedApiServer;
  let client: KubeClient;

  beforeEach(async () => {
    server = await ScriptedApiServer.start();
    client = new KubeClient(server.credentials);
  });

  afterEach(async () => {
    client.close();
    expect(server.unanswered, 'requests that the test did not expect').to.equal(0);
    await server[Symbol.asyncDispose]();
  });

  const shopMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a', namespace: 'shop' },
  };

  it('asks one connection after the other question', async () => {
    for (let round = 0; round < 3; round += 1) {
      const got = client.get(CONFIG_MAPS, 'a', 'shop');
      const request = await server.next();
      expect(`${request.method} ${request.path}`).to.equal(
        'GET /api/v1/namespaces/shop/configmaps/a',
      );
      request.answer(200, shopMap);
      expect(await got).to.deep.equal(shopMap);
    }
    expect(server.connections).to.equal(1);
  });

  it('gives the token of the moment', async () => {
    let token = 'one';
    const signedIn = new KubeClient({ ...server.credentials, token: () => token });
    for (const expected of ['one', 'two']) {
      token = expected;
      const got = signedIn.get(NAMESPACES, 'shop');
      const request = await server.next();
      expect(request.headers.authorization).to.equal(`Bearer ${expected}`);
      request.answer(200, {});
      await got;
    }
    signedIn.close();
  });

  it('does not talk to a server whose certificate somebody else has signed', async () => {
    await using other = await ScriptedApiServer.start();
    const misled = new KubeClient({ ...server.credentials, caPem: other.credentials.caPem });
    const failed = await misled.get(NAMESPACES, 'shop').catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(KubeConnectionError);
    misled.close();
  });

  it('throws what the server says', async () => {
    const got = client.get(PODS, 'a', 'shop').catch((error: unknown) => error);
    (await server.next()).refuse(404, 'NotFound', 'pods "a" not found');
    const error = await got;
    expect(error).to.be.instanceOf(KubeError);
    expect(error).to.include({ code: 404, reason: 'NotFound', message: 'pods "a" not found' });
  });

  it('throws a KubeConnectionError when the answer is cut off', async () => {
    const got = client.get(PODS, 'a', 'shop').catch((error: unknown) => error);
    (await server.next()).open().raw('{"kind":').cut();
    const error = await got;
    expect(error).to.be.instanceOf(KubeConnectionError);
    expect((error as Error).message).to.include('GET /api/v1/namespaces/shop/pods/a');
  });

  it('throws a KubeConnectionError when nobody listens', async () => {
    const { credentials } = server;
    await server[Symbol.asyncDispose]();
    const error = await client.get(PODS, 'a', 'shop').catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(KubeConnectionError);
    expect((error as Error).message).to.include('ECONNREFUSED');
    server = await ScriptedApiServer.start();
    expect(credentials.server).not.to.equal('');
  });

  it('asks again when the server closes an idle connection as it is used', async () => {
    const first = client.get(NAMESPACES, 'shop');
    (await server.next()).answer(200, {});
    await first;
    const second = client.get(NAMESPACES, 'shop');
    (await server.next()).cut();
    (await server.next()).answer(200, { again: true });
    expect(await second).to.deep.equal({ again: true });
  });

  it('does not repeat a write by itself', async () => {
    const first = client.get(NAMESPACES, 'shop');
    (await server.next()).answer(200, {});
    await first;
    const write = client.create(CONFIG_MAPS, shopMap).catch((error: unknown) => error);
    (await server.next()).cut();
    expect(await write).to.be.instanceOf(KubeConnectionError);
  });

  describe('list()', () => {
    it('reads all pages and says what the items are', async () => {
      const listed = client.list(CONFIG_MAPS, { namespace: 'shop', labelSelector: 'a in (b,c)' });
      const first = await server.next();
      expect(first.query.get('limit')).to.equal('500');
      expect(first.query.get('labelSelector')).to.equal('a in (b,c)');
      first.list('7', [{ metadata: { name: 'a' } }], 'more');
      const second = await server.next();
      expect(second.query.get('continue')).to.equal('more');
      second.list('7', [{ metadata: { name: 'b' } }]);
      expect(await listed).to.deep.equal({
        items: [
          { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } },
          { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'b' } },
        ],
        resourceVersion: '7',
      });
    });

    it('begins anew when a version expires between pages, at last without pages', async () => {
      const listed = client.list(PODS);
      for (let attempt = 0; attempt < 2; attempt += 1) {
        (await server.next()).list('7', [{ metadata: { name: 'old' } }], 'more');
        (await server.next()).refuse(410, 'Expired');
      }
      const whole = await server.next();
      expect(whole.query.get('limit')).to.equal(null);
      whole.list('9', null as unknown as []);
      expect(await listed).to.deep.equal({ items: [], resourceVersion: '9' });
    });
  });

  it('creates, and only tries to when asked', async () => {
    const created = client.create(CONFIG_MAPS, shopMap, { dryRun: true });
    const request = await server.next();
    expect(request.method).to.equal('POST');
    expect(request.path).to.equal('/api/v1/namespaces/shop/configmaps');
    expect(request.query.get('dryRun')).to.equal('All');
    request.answer(201, shopMap);
    await created;
  });

  it('refuses to address a namespaced object without its namespace', () => {
    expect(() => client.get(PODS, 'a')).to.throw('Pod "a": it needs a namespace');
    expect(() => client.get(PODS, '..', 'shop')).to.throw('Cannot use ".." as a name');
  });

  it('replaces a status beside its object', async () => {
    const replaced = client.replace(CONFIG_MAPS, shopMap, 'status');
    const request = await server.next();
    expect(`${request.method} ${request.path}`).to.equal(
      'PUT /api/v1/namespaces/shop/configmaps/a/status',
    );
    request.answer(200, shopMap);
    await replaced;
  });

  const patches = [
    ['merge', 'application/merge-patch+json'],
    ['json', 'application/json-patch+json'],
    ['strategic', 'application/strategic-merge-patch+json'],
    ['apply', 'application/apply-patch+yaml'],
  ] as const;
  for (const [type, contentType] of patches) {
    it(`sends a patch of type ${type} as ${contentType}`, async () => {
      const options = { type, subresource: 'status', fieldManager: 'ambit', force: true };
      const patched = client.patch(DEPLOYMENTS, 'a', 'shop', { spec: {} }, options);
      const request = await server.next();
      expect(request.method).to.equal('PATCH');
      expect(request.path).to.equal('/apis/apps/v1/namespaces/shop/deployments/a/status');
      expect(request.query.toString()).to.equal('fieldManager=ambit&force=true');
      expect(request.headers['content-type']).to.equal(contentType);
      request.answer(200, {});
      await patched;
    });
  }

  it('deletes with options', async () => {
    const deleted = client.delete(PODS, 'a', 'shop', {
      uid: '1234',
      gracePeriodSeconds: 0,
      propagationPolicy: 'Background',
    });
    const request = await server.next();
    expect(request.method).to.equal('DELETE');
    expect(request.body).to.deep.equal({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 0,
      propagationPolicy: 'Background',
      preconditions: { uid: '1234' },
    });
    request.answer(200, { kind: 'Status' });
    await deleted;
  });

  it('asks for a token', async () => {
    const spec = { audiences: ['istio-ca'] };
    const got = client.post<{ status: unknown }>(SERVICE_ACCOUNTS, 'a', 'shop', 'token', { spec });
    const request = await server.next();
    expect(request.path).to.equal('/api/v1/namespaces/shop/serviceaccounts/a/token');
    expect(request.body).to.deep.equal({ spec });
    request.answer(201, { status: { token: 't' } });
    expect((await got).status).to.deep.equal({ token: 't' });
  });

  it('answers nothing for an empty answer', async () => {
    const got = client.request('POST', '/anything');
    (await server.next()).answer(200, '');
    expect(await got).to.equal(undefined);
  });
});
