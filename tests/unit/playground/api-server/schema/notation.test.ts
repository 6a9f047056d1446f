import { expect } from 'chai';
import { describe, it } from 'mocha';

import { builtinDefinitions } from '#playground/api-server/schema/builtin.ts';
import { readDefinitions } from '#playground/api-server/schema/notation.ts';

describe('readDefinitions()', () => {
  const definitions = readDefinitions([
    `
# test.v1
Shop
  metadata Place, spec! ShopSpec retainKeys
ShopSpec
  doors [Door] map=name+side merge=name, tags [string] set merge, kind Big|Small,
  labels {string} atomic, self ShopSpec
Door atomic
  name! string, width int32
Place
  city string
`,
  ]);

  it('reads fields, what has to be there, and how patches treat them', () => {
    expect(definitions.get('test.v1.ShopSpec')?.properties).to.deep.include({
      kind: { type: 'string', enum: ['Big', 'Small'] },
      tags: {
        type: 'array',
        items: { type: 'string' },
        'x-kubernetes-list-type': 'set',
        'x-kubernetes-patch-strategy': 'merge',
      },
      labels: {
        type: 'object',
        additionalProperties: { type: 'string' },
        'x-kubernetes-map-type': 'atomic',
      },
    });
    expect(definitions.get('test.v1.Shop')?.required).to.deep.equal(['spec']);
    expect(definitions.get('test.v1.Door')).to.include({ 'x-kubernetes-map-type': 'atomic' });
  });

  it('refers to definitions, also to the one that is being read, and adds to them', () => {
    const shop = definitions.get('test.v1.Shop');
    const spec = definitions.get('test.v1.ShopSpec');
    expect(spec?.properties?.['self']).to.equal(spec);
    expect(shop?.properties?.['spec']).to.deep.include({
      definition: 'test.v1.ShopSpec',
      'x-kubernetes-patch-strategy': 'retainKeys',
    });
    expect(shop?.properties?.['spec']?.properties).to.equal(spec?.properties);
    expect(spec?.properties?.['doors']).to.deep.include({
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name', 'side'],
      'x-kubernetes-patch-merge-key': 'name',
    });
  });

  it('gives kinds the fields that say what they are', () => {
    expect(definitions.get('test.v1.Shop')?.properties).to.include.keys('apiVersion', 'kind');
  });

  it('refuses a type that nobody defines', () => {
    expect(() => readDefinitions(['# a.v1\nA\n  b Nothing'])).to.throw('No definition is named');
  });
});

describe('builtinDefinitions()', () => {
  it('knows how the lists of a pod are merged', () => {
    const container = builtinDefinitions().get('io.k8s.api.core.v1.Container');
    expect(container?.properties?.['ports']).to.include({
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-patch-merge-key': 'containerPort',
    });
  });
});
