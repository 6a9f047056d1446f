import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { JsonSchema } from '#playground/api-server/schema/json-schema.ts';
import { validate } from '#playground/api-server/schema/validate.ts';

/** What is told of `value` in the field "spec". */
function told(schema: JsonSchema, value: unknown): readonly string[] {
  return validate(schema, value, 'spec').map(({ field, message }) => `${field}: ${message}`);
}

describe('validate()', () => {
  const ports: JsonSchema = {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['port', 'protocol'],
    items: { type: 'object', properties: { protocol: { type: 'string', default: 'TCP' } } },
  };
  const oneOf: JsonSchema = { oneOf: [{ required: ['a'] }, { required: ['b'] }] };
  const table: readonly [JsonSchema, unknown, readonly string[]][] = [
    [{ type: 'integer' }, 3, []],
    [{ type: 'string', nullable: true }, null, []],
    [
      { type: 'integer' },
      'three',
      ['spec: Invalid value: "string": spec in body must be of type integer: "string"'],
    ],
    [
      { type: 'string' },
      null,
      ['spec: Invalid value: "null": spec in body must be of type string: "null"'],
    ],
    [
      { type: 'object', required: ['a'], properties: { a: { type: 'string' } } },
      {},
      ['spec.a: Required value'],
    ],
    [{ enum: ['a', 'b'] }, 'c', ['spec: Unsupported value: "c": supported values: "a", "b"']],
    [
      { type: 'integer', minimum: 1, maximum: 5 },
      0,
      ['spec: Invalid value: 0: spec in body should be greater than or equal to 1'],
    ],
    [
      { type: 'integer', maximum: 5, exclusiveMaximum: true },
      5,
      ['spec: Invalid value: 5: spec in body should be less than 5'],
    ],
    [
      { type: 'string', pattern: '^a+$' },
      'b',
      ['spec: Invalid value: "b": spec in body should match \'^a+$\''],
    ],
    [{ type: 'string', pattern: '(?i)^A$' }, 'a', []],
    [{ type: 'string', maxLength: 2 }, 'abc', ['spec: Too long: may not be more than 2 bytes']],
    [
      { type: 'string', minLength: 1 },
      '',
      ['spec: Invalid value: "": spec in body should be at least 1 chars long'],
    ],
    [{ type: 'array', maxItems: 1 }, [1, 2], ['spec: Too many: 2: must have at most 1 items']],
    [
      { type: 'string', format: 'date-time' },
      'now',
      ['spec: Invalid value: "now": spec in body must be of type date-time: "now"'],
    ],
    [
      { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      ['a', 'b', 'a'],
      ['spec[2]: Duplicate value: "a"'],
    ],
    [
      ports,
      [{ port: 80 }, { port: 80, protocol: 'TCP' }],
      ['spec[1]: Duplicate value: {"port":80,"protocol":"TCP"}'],
    ],
    [oneOf, { a: 1 }, []],
    [
      oneOf,
      { a: 1, b: 2 },
      [
        '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
      ],
    ],
    [
      { anyOf: [{ required: ['a'] }, { required: ['b'] }] },
      {},
      ['<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf)'],
    ],
    [
      { not: { required: ['a'] } },
      { a: 1 },
      ['<nil>: Invalid value: "": "spec" must not validate the schema (not)'],
    ],
    [{ 'x-kubernetes-int-or-string': true }, '25%', []],
    [
      { additionalProperties: { type: 'string' }, type: 'object' },
      { key: 1 },
      ['spec.key: Invalid value: "integer": spec.key in body must be of type string: "integer"'],
    ],
  ];
  for (const [schema, value, expected] of table) {
    it(`${JSON.stringify(value)} against ${JSON.stringify(schema)}`, () => {
      expect(told(schema, value)).to.deep.equal(expected);
    });
  }
});
