import { expect } from 'chai';
import { describe, it } from 'mocha';

import { undeclaredProblem } from '#playground/api-server/patch/undeclared.ts';
import type { JsonSchema } from '#playground/api-server/schema/json-schema.ts';

const text: JsonSchema = { type: 'string' };
const schema: JsonSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        labels: { type: 'object', additionalProperties: text },
        anything: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        tags: { type: 'array', 'x-kubernetes-list-type': 'set', items: text },
        rows: { type: 'array', items: { type: 'object', properties: { a: text } } },
        items: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', properties: { name: text, value: text } },
        },
      },
    },
  },
};
const problem = (spec: object, more: object = {}) =>
  undeclaredProblem(schema, {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { name: 'x' },
    spec,
    ...more,
  });

describe('undeclaredProblem()', () => {
  it('finds nothing where all is declared, or all may be', () => {
    const spec = { labels: { any: 'x' }, anything: { deep: { er: 1 } }, tags: ['a', 'b'] };
    expect(problem({ ...spec, items: [{ name: 'a' }, { name: 'b' }] })).to.equal(undefined);
  });

  it('finds the first field that is not declared, by the path that people read', () => {
    const unknown = 'field not declared in schema';
    expect(problem({}, { other: 1 })).to.equal(`.other: ${unknown}`);
    expect(problem({}, { metadata: { lables: {} } })).to.equal(`.metadata.lables: ${unknown}`);
    expect(problem({ rows: [{}, { b: 1 }] })).to.equal(`.spec.rows[1].b: ${unknown}`);
    expect(problem({ items: [{ name: 'a', valu: 1 }], more: 1 })).to.equal(
      `.spec.items[name="a"].valu: ${unknown}`,
    );
  });

  it('finds what is in a list twice', () => {
    expect(problem({ items: [{ name: 'a' }, { name: 'a' }] })).to.equal(
      '.spec.items: duplicate entries for key [name="a"]',
    );
    expect(problem({ tags: ['a', 'a'] })).to.equal('.spec.tags: duplicate entries for key [="a"]');
  });
});
