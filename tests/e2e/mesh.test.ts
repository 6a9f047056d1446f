import { after, before, describe } from 'mocha';

import { theLabels } from './mesh/labels.ts';
import { theLatency } from './mesh/latency.ts';
import { theLogs } from './mesh/logs.ts';
import { theParts } from './mesh/parts.ts';
import { thePolicies } from './mesh/policies.ts';
import { type Stage, setStage } from './mesh/stage.ts';
import { theWire } from './mesh/wire.ts';
import { MeshCluster } from './support/mesh-cluster.ts';

// One cluster for all: each part begins with everybody of the shop in the mesh, and no policies.
describe('the mesh in a cluster', function () {
  this.timeout(240_000);
  let stage: Stage | undefined;
  before(async () => {
    stage = await setStage(await MeshCluster.up('mesh'));
  });
  after(async () => {
    await stage?.mesh[Symbol.asyncDispose]();
  });
  const on = (): Stage => {
    if (stage === undefined) throw new Error('There is no stage yet');
    return stage;
  };

  describe('on the wire', () => theWire(on));
  describe('in its logs', () => theLogs(on));
  describe('at once', () => theLatency(on));
  describe('with policies', () => thePolicies(on));
  describe('by labels', () => theLabels(on));
  describe('whose parts', () => theParts(on));
});
