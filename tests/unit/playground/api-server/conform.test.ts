import { expect } from 'chai';
import { describe, it } from 'mocha';

import { conform } from '#playground/api-server/conform.ts';
import type { ServedKind } from '#playground/api-server/kinds.ts';
import type { ApiObject } from '#playground/api-server/object.ts';
import { builtin, refusal, shopStore } from '#tests/support/api-store.ts';

const warnings: string[] = [];
const warn = { fieldValidation: 'Warn', warn: (text: string) => warnings.push(text) } as const;
const deployments = builtin(shopStore(), 'deployments');

function deployment(spec: Record<string, unknown>): ApiObject {
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' }, spec };
}

describe('conform()', () => {
  it('takes unknown fields away and warns of them', () => {
    warnings.length = 0;
    const object = deployment({ replica: 2, template: { spec: { containers: [{ nam: 'x' }] } } });
    conform(deployments, object, warn);
    expect(warnings).to.deep.equal([
      'unknown field "spec.replica"',
      'unknown field "spec.template.spec.containers[0].nam"',
    ]);
    expect(object['spec']).to.deep.equal({ template: { spec: { containers: [{}] } } });
  });

  it('refuses them when validation is strict', () => {
    const strict = { ...warn, fieldValidation: 'Strict' } as const;
    const object = deployment({ replica: 2 });
    expect(refusal(() => conform(deployments, object, strict)).message).to.equal(
      'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica"',
    );
  });

  it('refuses a value of a wrong type in the words of the reference', () => {
    const object = deployment({ replicas: '3' });
    expect(refusal(() => conform(deployments, object, warn))).to.include({
      code: 400,
      message:
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
    });
  });

  it('reads null as absent and writes quantities as texts', () => {
    const resources = { limits: { cpu: 2, memory: '64Mi' } };
    const object = deployment({
      replicas: null,
      template: { spec: { containers: [{ name: 'x', resources }] } },
    });
    conform(deployments, object, warn);
    expect(object['spec']).to.not.have.property('replicas');
    expect(resources.limits).to.deep.equal({ cpu: '2', memory: '64Mi' });
  });

  it('leaves the defaults of a schema out: they are filled in later', () => {
    const kind: ServedKind = {
      ...deployments,
      custom: true,
      schema: {
        type: 'object',
        properties: {
          spec: {
            type: 'object',
            default: {},
            properties: { size: { type: 'integer', default: 3 } },
          },
        },
      },
    };
    const object: ApiObject = { apiVersion: 'shop.test/v1', kind: 'Shop', metadata: {} };
    conform(kind, object, warn);
    expect(object).to.not.have.property('spec');
  });
});
