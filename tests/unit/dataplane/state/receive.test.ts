import { create, toBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { AuthorizationSchema } from '#api/gen/authorization_pb.ts';
import { AddressSchema } from '#api/gen/workload_pb.ts';
import { EMPTY_DELTA } from '#dataplane/state/delta.ts';
import { MeshReceiver } from '#dataplane/state/receive.ts';

const UID = 'Kubernetes//Pod/shop/till';
const SHELF = 'shop/shelf.shop.svc.cluster.local';

function resource(name: string, bytes: Uint8Array) {
  return { name, version: '1', aliases: [], bytes };
}
const till = resource(
  UID,
  toBinary(
    AddressSchema,
    create(AddressSchema, {
      type: { case: 'workload', value: { uid: UID, name: 'till', namespace: 'shop' } },
    }),
  ),
);
const shelf = resource(
  SHELF,
  toBinary(
    AddressSchema,
    create(AddressSchema, {
      type: {
        case: 'service',
        value: { name: 'shelf', namespace: 'shop', hostname: 'shelf.shop.svc.cluster.local' },
      },
    }),
  ),
);
const rule = resource(
  'shop/rule',
  toBinary(
    AuthorizationSchema,
    create(AuthorizationSchema, { name: 'rule', namespace: 'shop', action: 1 }),
  ),
);
const bad = (name: string) => resource(name, Uint8Array.of(0xff));

describe('MeshReceiver', () => {
  let receiver: MeshReceiver;
  beforeEach(() => {
    receiver = new MeshReceiver();
  });

  it('takes workloads and services from one response', () => {
    const { delta, rejections } = receiver.addresses([till, shelf], []);
    expect(delta.upsertWorkloads.map(({ uid }) => uid)).to.deep.equal([UID]);
    expect(delta.upsertServices.map(({ name }) => name)).to.deep.equal(['shelf']);
    expect(rejections).to.deep.equal([]);
  });

  it('knows what kind of thing has gone', () => {
    receiver.addresses([till, shelf], []);
    const { delta } = receiver.addresses([], [UID, SHELF, 'nonsense']);
    expect(delta).to.deep.equal({
      ...EMPTY_DELTA,
      removeWorkloads: [UID],
      removeServices: [SHELF],
    });
  });

  it('refuses by name what it can not read, and takes the rest', () => {
    const { delta, rejections } = receiver.addresses([bad('x'), till], []);
    expect(delta.upsertWorkloads).to.have.length(1);
    expect(rejections.map(({ name }) => name)).to.deep.equal(['x']);
  });

  it('leaves a workload in force whose new form it can not read, and still knows it', () => {
    receiver.addresses([till], []);
    expect(receiver.addresses([bad(UID)], []).delta).to.deep.equal(EMPTY_DELTA);
    expect(receiver.addresses([], [UID]).delta.removeWorkloads).to.deep.equal([UID]);
  });

  it('takes policies', () => {
    const { delta, rejections } = receiver.policies([rule, bad('shop/bad')], ['shop/old', 'old']);
    expect(delta.upsertPolicies.map(({ name, action }) => [name, action])).to.deep.equal([
      ['rule', 'Deny'],
    ]);
    expect(delta.removePolicies).to.deep.equal(['shop/old']);
    expect(rejections.map(({ name }) => name)).to.deep.equal(['shop/bad']);
  });
});
