import { after, before, describe } from 'mocha';

import { MeshCluster } from './support/mesh-cluster.ts';
import { theBytes } from './waypoint/bytes.ts';
import { theChanges } from './waypoint/changes.ts';
import { theGrpc } from './waypoint/grpc.ts';
import { theHttp } from './waypoint/http.ts';
import { thePolicies } from './waypoint/policies.ts';
import { theRefusals } from './waypoint/refusals.ts';
import { leaveStage, type Stage, setStage } from './waypoint/stage.ts';
import { theWire } from './waypoint/wire.ts';

// One cluster for all: each part leaves it as it found it.
describe('clients of a waypoint', function () {
  this.timeout(180_000);
  let stage: Stage | undefined;
  before(async () => {
    stage = await setStage(await MeshCluster.up('waypoint-clients'));
  });
  after(async () => {
    if (stage !== undefined) await leaveStage(stage);
  });
  const on = (): Stage => {
    if (stage === undefined) throw new Error('There is no stage yet');
    return stage;
  };

  describe('by HTTP', () => theHttp(on));
  describe('by gRPC', () => theGrpc(on));
  describe('by bytes', () => theBytes(on));
  describe('on the wire', () => theWire(on));
  describe('with policies', () => thePolicies(on));
  describe('that ask for what can not be', () => theRefusals(on));
  // The last one takes the waypoint away.
  describe('when it changes', () => theChanges(on));
});
