import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  definitionProblems,
  definitionUpdateProblems,
} from '#playground/api-server/crd-problems.ts';
import type { ApiObject } from '#playground/api-server/object.ts';

const good = { type: 'object', properties: { spec: { type: 'object' } } };
const names = { plural: 'orders', singular: 'order', kind: 'Order', listKind: 'OrderList' };

function version(more: object = {}): object {
  return { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: good }, ...more };
}

function definition(more: object = {}, name = 'orders.shop.test'): ApiObject {
  const conversion = { strategy: 'None' };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name },
    spec: {
      group: 'shop.test',
      scope: 'Namespaced',
      names,
      conversion,
      versions: [version()],
      ...more,
    },
  };
}

function withSchema(schema: object): ApiObject {
  const openAPIV3Schema = { type: 'object', properties: { spec: schema } };
  return definition({ versions: [version({ schema: { openAPIV3Schema } })] });
}

function texts(object: ApiObject): readonly string[] {
  return definitionProblems(object).map(({ field, message }) => `${field}: ${message}`);
}

const ROOT = 'spec.versions[0].schema.openAPIV3Schema';
const SPEC = `${ROOT}.properties[spec]`;

describe('definitionProblems()', () => {
  it('finds none in a good definition', () => {
    expect(texts(definition())).to.deep.equal([]);
    const alternatives = { anyOf: [{ type: 'integer' }, { type: 'string' }] };
    expect(
      texts(withSchema({ 'x-kubernetes-int-or-string': true, ...alternatives })),
    ).to.deep.equal([]);
    const list = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] };
    const items = { type: 'object', properties: { name: { type: 'string' } } };
    expect(texts(withSchema({ type: 'array', items, ...list }))).to.deep.equal([]);
  });

  const definitions: readonly (readonly [string, ApiObject, string])[] = [
    [
      'another name',
      definition({}, 'order.shop.test'),
      'metadata.name: Invalid value: "order.shop.test": must be spec.names.plural+"."+spec.group',
    ],
    [
      'a scope that does not exist',
      definition({ scope: 'Everywhere' }),
      'spec.scope: Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"',
    ],
    [
      'two stored versions',
      definition({ versions: [version(), version({ name: 'v2' })] }),
      'spec.versions: Invalid value: ["v1","v2"]: must have exactly one version marked as storage version',
    ],
    [
      'one version twice',
      definition({ versions: [version(), version({ storage: false })] }),
      'spec.versions: Invalid value: ["v1","v1"]: must contain unique version names',
    ],
    [
      'a version without a schema',
      definition({ versions: [version({ schema: undefined })] }),
      `${ROOT}: Required value: schemas are required`,
    ],
    [
      'a kind that is its list, too',
      definition({ names: { ...names, listKind: 'Order' } }),
      'spec.names.listKind: Invalid value: "Order": kind and listKind may not be the same',
    ],
    [
      'a conversion by webhook',
      definition({ conversion: { strategy: 'Webhook' } }),
      'spec.conversion.strategy: Unsupported value: "Webhook": supported values: "None"',
    ],
    [
      'a scale whose numbers are elsewhere',
      definition({
        versions: [
          version({
            subresources: {
              scale: { specReplicasPath: '.size', statusReplicasPath: '.status.size' },
            },
          }),
        ],
      }),
      'spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".size": should be a json path under .spec',
    ],
  ];
  for (const [what, object, text] of definitions) {
    it(`refuses ${what}`, () => {
      expect(texts(object)).to.deep.equal([text]);
    });
  }

  const schemas: readonly (readonly [string, object, string])[] = [
    [
      'a field without a type',
      {},
      `${SPEC}.type: Required value: must not be empty for specified object fields`,
    ],
    [
      'a type that does not exist',
      { type: 'text' },
      `${SPEC}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"`,
    ],
    [
      'a list of unknown items',
      { type: 'array' },
      `${SPEC}.items: Required value: must be specified`,
    ],
    [
      'a reference',
      { type: 'object', $ref: '#/x' },
      `${SPEC}.$ref: Forbidden: $ref is not supported`,
    ],
    [
      'named and unnamed fields together',
      { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: true },
      `${SPEC}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive`,
    ],
    [
      'a default of another type',
      { type: 'integer', default: 'one' },
      `${SPEC}.default: Invalid value: "string": ${SPEC}.default in body must be of type integer: "string"`,
    ],
    [
      'a pattern that cannot be read',
      { type: 'string', pattern: '(' },
      `${SPEC}.pattern: Invalid value: "(": must be a valid regular expression, but isn't`,
    ],
    [
      'a list by keys without keys',
      { type: 'array', items: { type: 'object' }, 'x-kubernetes-list-type': 'map' },
      `${SPEC}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map`,
    ],
    [
      'structure within an alternative',
      { type: 'object', anyOf: [{ properties: { a: { type: 'boolean' } } }] },
      `${SPEC}.anyOf[0].properties[a].type: Forbidden: must be empty to be structural`,
    ],
  ];
  for (const [what, schema, text] of schemas) {
    it(`refuses ${what}`, () => {
      expect(texts(withSchema(schema))).to.deep.equal([text]);
    });
  }
});

describe('definitionUpdateProblems()', () => {
  it('keeps kind and scope of an established definition', () => {
    const changed = definition({ scope: 'Cluster' });
    expect(definitionUpdateProblems(changed, definition())).to.deep.equal([]);
    const conditions = [{ type: 'Established', status: 'True' }];
    const established = { ...definition(), status: { conditions } };
    expect(definitionUpdateProblems(changed, established)).to.deep.equal([
      {
        field: 'spec.scope',
        reason: 'FieldValueInvalid',
        message: 'Invalid value: "Cluster": field is immutable',
      },
    ]);
  });
});
