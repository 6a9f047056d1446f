// Server-side apply as kubectl and controllers use it, against the documented behaviour of Kubernetes.

import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Store, WriteResult } from '#playground/api-server/store.ts';
import { asTester, builtin, refusal, shopStore } from '#tests/support/api-store.ts';

const place = { namespace: 'shop', name: 'web' };
const labels = { app: 'web' };
const template = {
  metadata: { labels },
  spec: { containers: [{ name: 'web', image: 'ambit/echo:1', ports: [{ containerPort: 80 }] }] },
};
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: { replicas: 2, selector: { matchLabels: labels }, template },
};

function apply(store: Store, body: object, fieldManager: string, force = false): WriteResult {
  const options = { ...asTester, fieldManager, force };
  return store.patch(builtin(store, 'deployments'), place, { type: 'apply', body }, options);
}

describe('server-side apply', () => {
  it('creates an object that is not there, and owns none of the defaults', () => {
    const { object, created } = apply(shopStore(), deployment, 'kubectl');
    expect(created).to.equal(true);
    expect(object).to.have.nested.property('spec.progressDeadlineSeconds', 600);
    const [entry] = object.metadata.managedFields ?? [];
    expect(entry).to.include({ manager: 'kubectl', operation: 'Apply' });
    expect(entry?.fieldsV1?.['f:spec']).to.have.all.keys('f:replicas', 'f:selector', 'f:template');
  });

  it('writes nothing when nothing changes', () => {
    const store = shopStore();
    const { object } = apply(store, deployment, 'kubectl');
    const again = apply(store, deployment, 'kubectl');
    expect(again.created).to.equal(false);
    expect(again.object).to.equal(store.get(builtin(store, 'deployments'), place));
    expect(again.object.metadata.resourceVersion).to.equal(object.metadata.resourceVersion);
  });

  it('meets the one who scaled in between, and takes over by force', () => {
    const store = shopStore();
    apply(store, deployment, 'kubectl');
    const scaled = { type: 'merge', body: { spec: { replicas: 5 } } } as const;
    store.patch(builtin(store, 'deployments'), place, scaled, { ...asTester, fieldManager: 'hpa' });
    const status = refusal(() => apply(store, deployment, 'kubectl'));
    expect(status).to.include({ code: 409, reason: 'Conflict' });
    expect(status.message).to.match(
      /^Apply failed with 1 conflict: conflict with "hpa" using apps\/v1 at \S+: \.spec\.replicas$/,
    );
    expect(status.details?.causes?.[0]).to.include({
      reason: 'FieldManagerConflict',
      field: '.spec.replicas',
    });
    const forced = apply(store, deployment, 'kubectl', true);
    expect(forced.object).to.have.nested.property('spec.replicas', 2);
  });

  it('of a status writes the status only', () => {
    const store = shopStore();
    apply(store, deployment, 'kubectl');
    const body = { ...deployment, spec: { replicas: 9 }, status: { replicas: 2 } };
    const options = { ...asTester, fieldManager: 'controller', subresource: 'status' };
    const kind = builtin(store, 'deployments');
    const { object } = store.patch(kind, place, { type: 'apply', body }, options);
    expect(object).to.have.nested.property('status.replicas', 2);
    expect(object).to.have.nested.property('spec.replicas', 2);
    const entry = object.metadata.managedFields?.find(({ manager }) => manager === 'controller');
    expect(entry).to.deep.include({
      subresource: 'status',
      fieldsV1: { 'f:status': { 'f:replicas': {} } },
    });
  });

  it('leaves no trace of what a status does not say', () => {
    const store = shopStore();
    const kind = builtin(store, 'pods');
    const spec = { containers: [{ name: 'web', image: 'ambit/echo' }] };
    store.create(kind, 'shop', { metadata: { name: 'web' }, spec }, asTester);
    const options = { ...asTester, subresource: 'status' };
    for (const phase of ['Running', 'Succeeded']) {
      const body = { status: { phase } };
      store.patch(kind, place, { type: 'merge', body }, options);
    }
    const { metadata } = store.get(kind, place);
    expect(metadata).to.not.have.any.keys('labels', 'annotations');
  });

  it('refuses a body that says who manages what, or another name', () => {
    const store = shopStore();
    const managed = { ...deployment, metadata: { name: 'web', managedFields: [{ manager: 'a' }] } };
    expect(refusal(() => apply(store, managed, 'a')).message).to.equal(
      'metadata.managedFields must be nil',
    );
    const other = { ...deployment, metadata: { name: 'other' } };
    expect(refusal(() => apply(store, other, 'a')).message).to.equal(
      'the name of the object (other) does not match the name on the URL (web)',
    );
  });

  it('leaves what was created without it to its creator', () => {
    const store = shopStore();
    store.create(builtin(store, 'deployments'), 'shop', deployment, {
      ...asTester,
      fieldManager: 'kubectl-create',
    });
    const changed = { ...deployment, spec: { ...deployment.spec, replicas: 3 } };
    expect(refusal(() => apply(store, changed, 'kubectl')).message).to.include(
      'conflict with "kubectl-create" using apps/v1',
    );
    expect(apply(store, deployment, 'kubectl').object.metadata.managedFields).to.have.length(2);
  });

  it('forgets its managers when an update says that there are none', () => {
    const store = shopStore();
    apply(store, deployment, 'kubectl');
    const body = { metadata: { managedFields: [{}] } };
    const { object } = store.patch(
      builtin(store, 'deployments'),
      place,
      { type: 'merge', body },
      asTester,
    );
    expect(object.metadata).to.not.have.property('managedFields');
  });
});
