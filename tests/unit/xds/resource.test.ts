import { create, toBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { DeltaDiscoveryResponseSchema } from '#api/gen/discovery_pb.ts';
import { decodeResponse } from '#tests/support/xds.ts';
import { encodeResource, encodeResponse, shortType } from '#xds/resource.ts';

describe('encodeResponse()', () => {
  for (const size of [0, 1, 100, 127, 128, 20_000, 3_000_000]) {
    it(`decodes to what the generated code would have encoded, with a resource of ${size} bytes`, () => {
      const fields = { typeUrl: 't/x', name: 'n', version: '1', aliases: ['a'] };
      const bytes = new Uint8Array(size).fill(7);
      const entry = encodeResource({ ...fields, bytes });
      const common = { typeUrl: 't/x', nonce: '5', systemVersionInfo: 'v' };
      const encoded = encodeResponse({ ...common, removed: ['gone'], resources: [entry, entry] });
      const resource = {
        name: 'n',
        version: '1',
        aliases: ['a'],
        resource: { typeUrl: 't/x', value: bytes },
      };
      const plain = create(DeltaDiscoveryResponseSchema, {
        ...common,
        removedResources: ['gone'],
        resources: [resource, resource],
      });
      const again = toBinary(DeltaDiscoveryResponseSchema, decodeResponse(encoded));
      const want = toBinary(DeltaDiscoveryResponseSchema, plain);
      expect(Buffer.compare(again, want)).to.equal(0);
    });
  }
});

describe('shortType()', () => {
  it('is the name of the message', () => {
    expect(shortType('type.googleapis.com/istio.workload.Address')).to.equal(
      'istio.workload.Address',
    );
  });
});
