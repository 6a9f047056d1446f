import { expect } from 'chai';
import { describe, it } from 'mocha';

import { asTester, builtin, EventList, refusal, shopStore } from '#tests/support/api-store.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

function configMap(name: string, data: Record<string, string> = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

describe('Store', () => {
  it('create() names, numbers and returns the object; get() finds it', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const created = store.create(kind, 'shop', configMap('a', { key: 'value' }), asTester);
    expect(created.metadata).to.include({ name: 'a', namespace: 'shop' });
    expect(created.metadata.uid).to.match(/^[0-9a-f-]{36}$/);
    expect(Number(created.metadata.resourceVersion)).to.equal(store.version);
    expect(store.get(kind, { namespace: 'shop', name: 'a' })).to.equal(created);
  });

  it('create() refuses a name that is taken, a namespace that is not there, no name at all', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    store.create(kind, 'shop', configMap('a'), asTester);
    expect(refusal(() => store.create(kind, 'shop', configMap('a'), asTester))).to.deep.include({
      message: 'configmaps "a" already exists',
      reason: 'AlreadyExists',
      code: 409,
      details: { name: 'a', kind: 'configmaps' },
    });
    expect(refusal(() => store.create(kind, 'none', configMap('a'), asTester))).to.include({
      message: 'namespaces "none" not found',
      code: 404,
    });
    expect(refusal(() => store.create(kind, 'shop', { metadata: {} }, asTester))).to.include({
      message:
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
      code: 422,
    });
  });

  it('create() makes a name from generateName', () => {
    const store = shopStore();
    const body = { metadata: { generateName: 'job-' } };
    const created = store.create(builtin(store, 'configmaps'), 'shop', body, asTester);
    expect(created.metadata.name).to.match(/^job-[a-z0-9]{5}$/);
  });

  it('create() refuses a body of another kind, version or namespace', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const create = (body: object): string | undefined =>
      refusal(() => store.create(kind, 'shop', body, asTester)).message;
    expect(create({ apiVersion: 'apps/v1', kind: 'ConfigMap' })).to.equal(
      'the API version in the data (apps/v1) does not match the expected API version (v1)',
    );
    expect(create({ kind: 'Secret' })).to.include('cannot be handled as a ConfigMap');
    expect(create({ metadata: { name: 'a', namespace: 'other' } })).to.equal(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  });

  it('update() replaces the object when the version fits, and refuses it when not', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const place = { namespace: 'shop', name: 'a' };
    const first = store.create(kind, 'shop', configMap('a', { n: '1' }), asTester);
    const second = { ...first, data: { n: '2' } };
    const { object } = store.update(kind, place, second, asTester);
    expect(object).to.deep.include({ data: { n: '2' } });
    expect(object.metadata.uid).to.equal(first.metadata.uid);
    expect(refusal(() => store.update(kind, place, second, asTester))).to.deep.include({
      message:
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
      reason: 'Conflict',
      code: 409,
    });
  });

  it('update() that changes nothing writes nothing', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const first = store.create(kind, 'shop', configMap('a', { n: '1' }), asTester);
    const { object } = store.update(kind, { namespace: 'shop', name: 'a' }, first, asTester);
    expect(object.metadata.resourceVersion).to.equal(first.metadata.resourceVersion);
  });

  it('dryRun answers as if it had written', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const dry = { ...asTester, dryRun: true };
    expect(store.create(kind, 'shop', configMap('a'), dry).metadata.name).to.equal('a');
    expect(store.list(kind).items).to.deep.equal([]);
  });

  it('delete() takes the object away; its preconditions have to hold', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const place = { namespace: 'shop', name: 'a' };
    const { metadata } = store.create(kind, 'shop', configMap('a'), asTester);
    const stale = { preconditions: { uid: 'other' } };
    expect(refusal(() => store.delete(kind, place, stale)).message).to.equal(
      `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
    expect(store.delete(kind, place, { preconditions: { uid: metadata.uid } }).removed).to.equal(
      true,
    );
    expect(refusal(() => store.get(kind, place)).code).to.equal(404);
  });

  it('delete() of an object with finalizers waits for the last of them', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const place = { namespace: 'shop', name: 'a' };
    const body = { metadata: { name: 'a', finalizers: ['shop.test/clean'] } };
    store.create(kind, 'shop', body, asTester);
    const { object, removed } = store.delete(kind, place);
    expect(removed).to.equal(false);
    expect(object.metadata.deletionTimestamp).to.be.a('string');
    const more = {
      ...object,
      metadata: { ...object.metadata, finalizers: ['shop.test/clean', 'shop.test/b'] },
    };
    expect(refusal(() => store.update(kind, place, more, asTester)).message).to.include(
      'no new finalizers can be added if the object is being deleted',
    );
    const patch = { type: 'merge', body: { metadata: { finalizers: null } } } as const;
    store.patch(kind, place, patch, asTester);
    expect(refusal(() => store.get(kind, place)).code).to.equal(404);
  });

  it('list() gives pages of one state, however much is written in between', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    for (const name of ['a', 'b', 'c', 'd']) store.create(kind, 'shop', configMap(name), asTester);
    const first = store.list(kind, { limit: 2 });
    expect(first.items.map(({ metadata }) => metadata.name)).to.deep.equal(['a', 'b']);
    expect(first.remainingItemCount).to.equal(2);
    store.delete(kind, { namespace: 'shop', name: 'c' });
    store.create(kind, 'shop', configMap('e'), asTester);
    const second = store.list(kind, { limit: 2, continueToken: first.continueToken });
    expect(second.items.map(({ metadata }) => metadata.name)).to.deep.equal(['c', 'd']);
    expect(second).to.not.have.property('continueToken');
    expect(second.resourceVersion).to.equal(first.resourceVersion);
  });

  it('list() gives the state of an exact version', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const { metadata } = store.create(kind, 'shop', configMap('a', { n: '1' }), asTester);
    const change = { type: 'merge', body: { data: { n: '2' } } } as const;
    store.patch(kind, { namespace: 'shop', name: 'a' }, change, asTester);
    const { resourceVersion } = metadata;
    const exact = store.list(kind, { resourceVersion, resourceVersionMatch: 'Exact' });
    expect(exact.items[0]).to.deep.include({ data: { n: '1' } });
  });

  it('watch() without a version starts with what is there and goes on with what happens', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    store.create(kind, 'shop', configMap('a'), asTester);
    const sink = new EventList();
    const watch = store.watch(kind, { namespace: 'shop' }, sink);
    store.create(kind, 'shop', configMap('b'), asTester);
    store.delete(kind, { namespace: 'shop', name: 'a' });
    watch.stop();
    store.create(kind, 'shop', configMap('c'), asTester);
    expect(sink.summary).to.deep.equal(['ADDED a', 'ADDED b', 'DELETED a']);
  });

  it('watch() from a version sends what happened since', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const { resourceVersion } = store.list(kind);
    store.create(kind, 'shop', configMap('a'), asTester);
    const sink = new EventList();
    store.watch(kind, { resourceVersion }, sink);
    expect(sink.summary).to.deep.equal(['ADDED a']);
  });

  it('watch() ends with 410 when what happened since has been forgotten', () => {
    const store = shopStore(100);
    const sink = new EventList();
    store.watch(builtin(store, 'configmaps'), { resourceVersion: '50' }, sink);
    expect(sink.ended).to.include({ code: 410, reason: 'Expired' });
    expect(sink.ended).to.have.property('message', 'too old resource version: 50 (100)');
  });

  it('watch() with sendInitialEvents marks their end', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    store.create(kind, 'shop', configMap('a'), asTester);
    const sink = new EventList();
    store.watch(kind, { sendInitialEvents: true, allowBookmarks: true }, sink);
    expect(sink.summary).to.deep.equal(['ADDED a', 'BOOKMARK']);
    expect(sink.events[1]?.object.metadata).to.deep.equal({
      resourceVersion: String(store.version),
      creationTimestamp: null,
      annotations: { 'k8s.io/initial-events-end': 'true' },
    });
  });

  it('watch() with a selector tells of objects that come into it and leave it', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const place = { namespace: 'shop', name: 'a' };
    const label = (value: string | null): void => {
      const body = { metadata: { labels: { tier: value } } };
      store.patch(kind, place, { type: 'merge', body }, asTester);
    };
    store.create(kind, 'shop', configMap('a'), asTester);
    const sink = new EventList();
    store.watch(kind, { labelSelector: 'tier=front' }, sink);
    label('front');
    label('back');
    label(null);
    expect(sink.summary).to.deep.equal(['ADDED a', 'DELETED a']);
    expect(sink.events[1]?.object).to.have.nested.property('metadata.labels.tier', 'front');
  });

  it('keeps what two objects have in common only once', () => {
    const store = shopStore();
    const kind = builtin(store, 'configmaps');
    const data = { text: 'a long text' };
    const first = store.create(kind, 'shop', configMap('a', { ...data }), asTester);
    const second = store.create(kind, 'shop', configMap('b', { ...data }), asTester);
    expect(second['data']).to.equal(first['data']);
    expect(second.metadata.name).to.equal('b');
  });

  it('update() of a status takes labels and annotations of a pod, and of nothing else', () => {
    const store = shopStore();
    const write = (plural: string, spec: object): object => {
      const kind = builtin(store, plural);
      const body = { metadata: { name: 'a', labels: { app: 'a' } }, spec };
      const { metadata } = store.create(kind, 'shop', body, asTester);
      const annotated = { ...metadata, annotations: { seen: 'true' } };
      const options = { ...asTester, subresource: 'status' };
      const changed = store.update(
        kind,
        { namespace: 'shop', name: 'a' },
        { ...body, metadata: annotated },
        options,
      );
      return changed.object.metadata.annotations ?? {};
    };
    expect(write('pods', { containers: [{ name: 'main', image: 'i' }] })).to.deep.equal({
      seen: 'true',
    });
    expect(write('services', { ports: [{ port: 80 }] })).to.deep.equal({});
  });

  it('delete() keeps the namespaces that every cluster has', () => {
    const store = shopStore();
    const kind = builtin(store, 'namespaces');
    store.create(kind, undefined, { metadata: { name: 'default' } }, asTester);
    expect(refusal(() => store.delete(kind, { name: 'default' }))).to.include({
      code: 403,
      message: 'namespaces "default" is forbidden: this namespace may not be deleted',
    });
  });

  it('create() of an event takes away those that are older than an hour', () => {
    const clock = new ManualClock();
    const store = shopStore(1, clock);
    const kind = builtin(store, 'events');
    const event = (name: string): void => {
      const involvedObject = { kind: 'Pod', name: 'web', namespace: 'shop' };
      store.create(kind, 'shop', { metadata: { name }, involvedObject }, asTester);
    };
    const names = (): readonly string[] =>
      store.list(kind).items.map(({ metadata }) => metadata.name);
    event('first');
    clock.jump(59 * 60_000);
    event('second');
    expect(names()).to.deep.equal(['first', 'second']);
    clock.jump(2 * 60_000);
    event('third');
    expect(names()).to.deep.equal(['second', 'third']);
  });
});
