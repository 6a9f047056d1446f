import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import type { ApiObject } from '#playground/api-server/object.ts';
import { applyConfig } from '#playground/api-server/patch/apply.ts';
import { trackUpdate } from '#playground/api-server/patch/managed-fields.ts';
import { builtinSchema } from '#playground/api-server/schema/builtin.ts';

const schema = builtinSchema('apps', 'v1', 'Deployment');
const TIME = '2030-01-01T00:00:00Z';

function config(spec: object, labels?: Record<string, string>): ApiObject {
  const metadata = { name: 'web', ...(labels === undefined ? {} : { labels }) };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec };
}

const nothing: ApiObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
};

function writer(
  manager: string,
  operation: 'Apply' | 'Update',
): {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  subresource: string;
} {
  return { manager, operation, apiVersion: 'apps/v1', subresource: '' };
}

function apply(
  live: ApiObject | undefined,
  manager: string,
  given: ApiObject,
  force = false,
): ApiObject {
  const request = { writer: writer(manager, 'Apply'), force, time: TIME };
  const result = applyConfig(live, given, schema, request);
  if (result.kind === 'conflict') throw result.error;
  return result.object;
}

function update(live: ApiObject, manager: string, change: (object: ApiObject) => void): ApiObject {
  const next = structuredClone(live);
  change(next);
  trackUpdate(live, next, schema, { writer: writer(manager, 'Update'), time: TIME });
  return next;
}

const containers = (...list: object[]): object => ({ template: { spec: { containers: list } } });
const args = (...list: string[]): object => containers({ name: 'web', args: list });

describe('applyConfig()', () => {
  it('notes the applied fields, and only those', () => {
    const object = apply(undefined, 'kubectl', config({ replicas: 2 }, { app: 'web' }));
    expect(object.metadata.managedFields).to.deep.equal([
      {
        manager: 'kubectl',
        operation: 'Apply',
        apiVersion: 'apps/v1',
        time: TIME,
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:metadata': { 'f:labels': { 'f:app': {} } }, 'f:spec': { 'f:replicas': {} } },
      },
    ]);
  });

  it('removes what its manager applied before and applies no more', () => {
    const first = apply(undefined, 'a', config({ replicas: 2, paused: true }, { app: 'web' }));
    const second = apply(first, 'a', config({ replicas: 2 }));
    expect(second['spec']).to.deep.equal({ replicas: 2 });
    expect(second.metadata).to.not.have.property('labels');
  });

  it('keeps what another has applied, too', () => {
    const both = apply(
      apply(undefined, 'a', config({ replicas: 2, paused: true })),
      'b',
      config({ paused: true }),
    );
    expect(apply(both, 'a', config({ replicas: 2 }))['spec']).to.deep.equal({
      replicas: 2,
      paused: true,
    });
  });

  it('leaves alone what nobody applied', () => {
    const first = update(apply(undefined, 'a', config({ replicas: 2 })), 'b', (object) => {
      object['spec'] = { replicas: 2, minReadySeconds: 5 };
    });
    expect(apply(first, 'a', config({}))['spec']).to.deep.equal({ minReadySeconds: 5 });
  });

  it('refuses to change a value of another manager, and says whose', () => {
    const first = apply(undefined, 'a', config({ replicas: 2 }));
    const scaled = update(first, 'hpa', (object) => {
      object['spec'] = { replicas: 5 };
    });
    const call = (): unknown => apply(scaled, 'a', config({ replicas: 2 }));
    expect(call).to.throw(
      `Apply failed with 1 conflict: conflict with "hpa" using apps/v1 at ${TIME}: .spec.replicas`,
    );
    expect(() => apply(scaled, 'a', config({ replicas: 5 }))).to.not.throw();
    const forced = apply(scaled, 'a', config({ replicas: 2 }), true);
    expect(forced['spec']).to.deep.equal({ replicas: 2 });
    expect(forced.metadata.managedFields?.map(({ manager }) => manager)).to.deep.equal(['a']);
  });

  it('lists several conflicts by manager', () => {
    const first = apply(
      undefined,
      'a',
      config(containers({ name: 'web', image: '1', workingDir: '/' })),
    );
    const other = config(containers({ name: 'web', image: '2', workingDir: '/tmp' }));
    expect(() => apply(first, 'b', other)).to.throw(
      'Apply failed with 2 conflicts: conflicts with "a":\n- .spec.template.spec.containers[name="web"].image\n- .spec.template.spec.containers[name="web"].workingDir',
    );
  });

  it('merges lists by their keys: each manager has its own items', () => {
    const first = apply(undefined, 'a', config(containers({ name: 'web', image: '1' })));
    const both = apply(first, 'sidecar', config(containers({ name: 'proxy', image: '2' })));
    expect(both['spec']).to.deep.equal(
      containers({ name: 'web', image: '1' }, { name: 'proxy', image: '2' }),
    );
    const without = apply(both, 'sidecar', config({}));
    expect(without['spec']).to.deep.equal(containers({ name: 'web', image: '1' }));
  });

  it('takes TCP for the key "protocol" that a port leaves out', () => {
    const port = { containerPort: 80 };
    const live = update(apply(undefined, 'a', config({})), 'server', (object) => {
      object['spec'] = containers({ name: 'web', ports: [{ ...port, protocol: 'TCP' }] });
    });
    const spec = containers({ name: 'web', ports: [{ ...port, name: 'http' }] });
    expect(apply(live, 'a', config(spec))['spec']).to.deep.equal(
      containers({ name: 'web', ports: [{ ...port, protocol: 'TCP', name: 'http' }] }),
    );
  });

  it('replaces a list that is one value as a whole', () => {
    const first = apply(undefined, 'a', config(args('x', 'y')));
    expect(apply(first, 'a', config(args('z')))['spec']).to.deep.equal(args('z'));
  });

  it('does nothing the second time; what it applied is there; applying nothing undoes it', () => {
    const labels = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'));
    const images = fc.uniqueArray(
      fc.record({ name: fc.constantFrom('x', 'y', 'z'), image: fc.constantFrom('1', '2') }),
      { selector: ({ name }) => name },
    );
    const configs = fc.record({ labels, images });
    fc.assert(
      fc.property(configs, configs, (one, two) => {
        const given = config(containers(...two.images), two.labels);
        const before = apply(undefined, 'one', config(containers(...one.images), one.labels));
        const once = apply(before, 'two', given, true);
        expect(apply(once, 'two', given, true)).to.deep.equal(once);
        expect(once.metadata.labels ?? {}).to.include(two.labels);
        const template = (once['spec'] as { template?: { spec?: { containers?: object[] } } })
          .template;
        expect(template?.spec?.containers ?? []).to.include.deep.members(two.images);
        const all = apply(apply(once, 'two', nothing, true), 'one', nothing, true);
        expect(all.metadata.labels ?? {}).to.deep.equal({});
        expect(all.metadata).to.not.have.property('managedFields');
      }),
    );
  });
});

describe('trackUpdate()', () => {
  it('gives an update what it changed, and takes it from others', () => {
    const first = apply(undefined, 'a', config({ replicas: 2, paused: true }));
    const second = update(first, 'b', (object) => {
      object['spec'] = { replicas: 3 };
    });
    const owned = second.metadata.managedFields?.map(({ manager, fieldsV1 }) => [
      manager,
      fieldsV1,
    ]);
    expect(owned).to.deep.equal([['b', { 'f:spec': { 'f:replicas': {} } }]]);
  });

  it('counts an object that comes as a whole among its fields', () => {
    const after = config({}, { app: 'web' });
    trackUpdate(undefined, after, schema, { writer: writer('b', 'Update'), time: TIME });
    expect(after.metadata.managedFields?.[0]?.fieldsV1).to.deep.equal({
      'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
      'f:spec': {},
    });
  });
});
