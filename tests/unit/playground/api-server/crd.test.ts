import { expect } from 'chai';
import { describe, it } from 'mocha';

import { serveCustomResources } from '#playground/api-server/crd.ts';
import type { ServedKind } from '#playground/api-server/kinds.ts';
import type { StoredObject } from '#playground/api-server/object.ts';
import type { Store } from '#playground/api-server/store.ts';
import { asTester, builtin, EventList, refusal, shopStore } from '#tests/support/api-store.ts';

const NAME = 'orders.shop.test';
const spec = {
  type: 'object',
  required: ['size'],
  properties: { size: { type: 'integer', minimum: 1 }, note: { type: 'string', default: 'none' } },
};
const schema = {
  type: 'object',
  properties: {
    spec,
    status: { type: 'object', properties: { phase: { type: 'string' } } },
  },
};

function version(name: string, more: object = {}): object {
  const marks = { served: true, storage: true, subresources: { status: {} } };
  return { name, schema: { openAPIV3Schema: schema }, ...marks, ...more };
}

function definition(plural = 'orders', more: object = {}): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.shop.test` },
    spec: {
      group: 'shop.test',
      scope: 'Namespaced',
      names: { plural, kind: 'Order', shortNames: ['or'] },
      versions: [version('v1')],
      ...more,
    },
  };
}

function order(size: unknown, more: object = {}): object {
  const type = { apiVersion: 'shop.test/v1', kind: 'Order' };
  return { ...type, metadata: { name: 'first', ...more }, spec: { size } };
}

function customStore(): Store {
  const store = shopStore();
  serveCustomResources(store, Date.now);
  return store;
}

/** Stores a definition and lets what follows from it happen. */
async function define(store: Store, body: object): Promise<StoredObject> {
  const kind = builtin(store, 'customresourcedefinitions');
  const { metadata } = store.create(kind, undefined, body, asTester);
  await settled();
  return store.get(kind, metadata);
}

function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function orders(store: Store): ServedKind {
  const kind = store.registry.find('shop.test', 'v1', 'orders');
  if (kind === undefined) throw new Error('orders are not served');
  return kind;
}

function conditions(object: StoredObject): readonly string[] {
  const { conditions: list = [] } = (object['status'] ?? {}) as {
    conditions?: { type: string; status: string; reason: string }[];
  };
  return list.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

describe('serveCustomResources()', () => {
  it('serves a kind as soon as its definition is stored, and says so', async () => {
    const store = customStore();
    const { generation } = store.registry;
    const stored = await define(store, definition());
    expect(conditions(stored)).to.deep.equal([
      'NamesAccepted=True NoConflicts',
      'Established=True InitialNamesAccepted',
    ]);
    expect(stored).to.have.deep.nested.property('status.storedVersions', ['v1']);
    expect(stored).to.have.nested.property('status.acceptedNames.listKind', 'OrderList');
    expect(orders(store)).to.deep.include({ kind: 'Order', shortNames: ['or'], custom: true });
    expect(store.registry.generation).to.be.greaterThan(generation);
  });

  it('checks objects against the schema and gives them its defaults', async () => {
    const store = customStore();
    await define(store, definition());
    const created = store.create(orders(store), 'shop', order(2), asTester);
    expect(created['spec']).to.deep.equal({ size: 2, note: 'none' });
    expect(created.metadata.generation).to.equal(1);
    const problem = refusal(() => store.create(orders(store), 'shop', order('two'), asTester));
    expect(problem).to.include({
      code: 422,
      reason: 'Invalid',
      message:
        'Order.shop.test "first" is invalid: spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
    });
  });

  it('keeps the status apart from the rest', async () => {
    const store = customStore();
    await define(store, definition());
    const kind = orders(store);
    store.create(kind, 'shop', { ...order(2), status: { phase: 'Done' } }, asTester);
    const place = { namespace: 'shop', name: 'first' };
    expect(store.get(kind, place)).to.not.have.property('status');
    const body = { ...order(5), status: { phase: 'Done' } };
    store.update(kind, place, body, { ...asTester, subresource: 'status' });
    expect(store.get(kind, place)).to.deep.include({
      spec: { size: 2, note: 'none' },
      status: { phase: 'Done' },
    });
    expect(store.get(kind, place).metadata.generation).to.equal(1);
  });

  it('shows objects in every version that is served', async () => {
    const store = customStore();
    const versions = [
      version('v1'),
      version('v1beta1', { storage: false }),
      version('v1alpha1', { storage: false, served: false }),
    ];
    await define(store, definition('orders', { versions }));
    store.create(orders(store), 'shop', order(2), asTester);
    const beta = store.registry.find('shop.test', 'v1beta1', 'orders');
    const place = { namespace: 'shop', name: 'first' };
    expect(beta && store.get(beta, place).apiVersion).to.equal('shop.test/v1beta1');
    expect(store.registry.find('shop.test', 'v1alpha1', 'orders')).to.equal(undefined);
  });

  it('serves a changed schema from the next request on', async () => {
    const store = customStore();
    await define(store, definition());
    const body = definition('orders', {
      versions: [
        version('v1', { additionalPrinterColumns: [column], schema: { openAPIV3Schema: open } }),
      ],
    });
    const kind = builtin(store, 'customresourcedefinitions');
    store.update(kind, { name: NAME }, body, asTester);
    await settled();
    expect(orders(store).printerColumns).to.deep.equal([column]);
    expect(() => store.create(orders(store), 'shop', order('many'), asTester)).to.not.throw();
  });

  it('refuses names that another kind of the group has, until it is gone', async () => {
    const store = customStore();
    await define(store, definition());
    const second = await define(store, definition('commissions'));
    expect(conditions(second)).to.deep.equal([
      'NamesAccepted=False SingularConflict',
      'Established=False NotAccepted',
    ]);
    expect(store.registry.find('shop.test', 'v1', 'commissions')).to.equal(undefined);
    const kind = builtin(store, 'customresourcedefinitions');
    store.delete(kind, { name: NAME });
    await settled();
    const { name } = second.metadata;
    expect(conditions(store.get(kind, { name }))[1]).to.equal(
      'Established=True InitialNamesAccepted',
    );
  });

  it('takes a kind away with its objects', async () => {
    const store = customStore();
    await define(store, definition());
    const events = new EventList();
    store.create(orders(store), 'shop', order(2), asTester);
    store.watch(orders(store), { resourceVersion: String(store.version) }, events);
    const kind = builtin(store, 'customresourcedefinitions');
    expect(store.delete(kind, { name: NAME }).removed).to.equal(false);
    await settled();
    expect(events.summary).to.deep.equal(['DELETED first']);
    expect(store.registry.find('shop.test', 'v1', 'orders')).to.equal(undefined);
    expect(refusal(() => store.get(kind, { name: NAME })).code).to.equal(404);
  });

  it('waits for objects that have finalizers, and lets nobody create more', async () => {
    const store = customStore();
    await define(store, definition());
    const kind = builtin(store, 'customresourcedefinitions');
    store.create(orders(store), 'shop', order(2, { finalizers: ['shop.test/keep'] }), asTester);
    store.delete(kind, { name: NAME });
    await settled();
    expect(conditions(store.get(kind, { name: NAME }))[2]).to.equal(
      'Terminating=True InstanceDeletionInProgress',
    );
    const another = order(3, { name: 'second' });
    expect(refusal(() => store.create(orders(store), 'shop', another, asTester))).to.include({
      code: 405,
      message: 'create not allowed while custom resource definition is terminating',
    });
    const place = { namespace: 'shop', name: 'first' };
    const body = [{ op: 'remove', path: '/metadata/finalizers' }];
    store.patch(orders(store), place, { type: 'json', body }, asTester);
    await settled();
    expect(refusal(() => store.get(kind, { name: NAME })).code).to.equal(404);
  });

  it('leaves what a server has built in to the server', async () => {
    const store = customStore();
    const names = { plural: 'ingresses', kind: 'Ingress' };
    const ingresses = { group: 'networking.k8s.io', names };
    const body = {
      ...definition('orders', ingresses),
      metadata: { name: 'ingresses.networking.k8s.io' },
    };
    const stored = await define(store, body);
    expect(conditions(stored)[0]).to.equal('NamesAccepted=False PluralConflict');
    expect(store.registry.find('networking.k8s.io', 'v1', 'ingresses')?.custom).to.equal(false);
  });
});

const column = { name: 'Size', type: 'string', jsonPath: '.spec.size' };
const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
