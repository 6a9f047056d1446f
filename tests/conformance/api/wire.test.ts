import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AuthorizationSchema, StringMatchSchema } from '#api/gen/authorization_pb.ts';
import {
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
  IstioCertificateService,
} from '#api/gen/ca_pb.ts';
import {
  AggregatedDiscoveryService,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '#api/gen/discovery_pb.ts';
import { AddressSchema, ServiceSchema, WorkloadSchema } from '#api/gen/workload_pb.ts';
import {
  Version,
  WorkloadRequestSchema,
  WorkloadResponseSchema,
  ZdsHelloSchema,
} from '#api/gen/zds_pb.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('the ZDS messages', () => {
  it('write hello and ack as the CNI agent reads them', () => {
    expect(hex(toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version: Version.V1 })))).to.equal(
      '0801',
    );
    const acknowledge = create(WorkloadResponseSchema, {
      payload: { case: 'ack', value: { error: '' } },
    });
    expect(hex(toBinary(WorkloadResponseSchema, acknowledge))).to.equal('0a00');
  });

  it('read add (1), delete (2, whose uid is field 2), snapshot (3) and keep (5)', () => {
    const add = fromBinary(WorkloadRequestSchema, bytes('0a0e 0a0175 1209 0a016e 120173 1a0161'));
    expect(add.payload.case).to.equal('add');
    if (add.payload.case !== 'add') return;
    expect(add.payload.value.uid).to.equal('u');
    expect(add.payload.value.workloadInfo).to.include({
      name: 'n',
      namespace: 's',
      serviceAccount: 'a',
    });
    const kept = fromBinary(WorkloadRequestSchema, bytes('2a03 0a0175'));
    expect(kept.payload).to.have.property('case', 'keep');
    const deleted = fromBinary(WorkloadRequestSchema, bytes('1203 120175'));
    expect(deleted.payload.case === 'del' && deleted.payload.value.uid).to.equal('u');
    const snapshot = fromBinary(WorkloadRequestSchema, bytes('1a00'));
    expect(snapshot.payload.case).to.equal('snapshotSent');
  });
});

describe('the certificate service', () => {
  it('has the path that the control plane serves', () => {
    const { typeName, method } = IstioCertificateService;
    expect(`${typeName}/${method.createCertificate.name}`).to.equal(
      'istio.v1.auth.IstioCertificateService/CreateCertificate',
    );
  });

  it('writes csr (1), validity (3) and metadata (4)', () => {
    const request = create(IstioCertificateRequestSchema, {
      csr: 'c',
      validityDuration: 60n,
      metadata: { ImpersonatedIdentity: 'i' },
    });
    expect(hex(toBinary(IstioCertificateRequestSchema, request))).to.equal(
      // The metadata is a Struct: an entry with a key of 20 bytes and a string value.
      `0a0163 183c 221d 0a1b 0a14 ${hex(Buffer.from('ImpersonatedIdentity'))} 1203 1a0169`.replaceAll(
        ' ',
        '',
      ),
    );
  });

  it('reads the chain (1)', () => {
    const response = fromBinary(IstioCertificateResponseSchema, bytes('0a0161 0a0162'));
    expect(response.certChain).to.deep.equal(['a', 'b']);
  });
});

describe('the xDS resources', () => {
  it('have the type names that are on the wire', () => {
    expect(AddressSchema.typeName).to.equal('istio.workload.Address');
    expect(AuthorizationSchema.typeName).to.equal('istio.security.Authorization');
    expect(AggregatedDiscoveryService.typeName).to.equal(
      'envoy.service.discovery.v3.AggregatedDiscoveryService',
    );
  });

  it('read a workload with its odd field numbers', () => {
    // address.workload (1) { name 1, namespace 2, addresses 3, uid 20, hostname 21, services 22, capacity 27 }
    const workload = fromBinary(
      WorkloadSchema,
      bytes(
        '0a016e 120173 1a040a000001 2801 a2010175 aa010168 b20109 0a016b 1204 0a02 0850 c80101 da0102 0805',
      ),
    );
    expect(workload).to.deep.include({
      name: 'n',
      namespace: 's',
      uid: 'u',
      hostname: 'h',
      tunnelProtocol: 1,
      networkMode: 1,
      capacity: 5,
    });
    expect(workload.services['k']?.ports[0]?.servicePort).to.equal(80);
    expect(hex(workload.addresses[0]!)).to.equal('0a000001');
  });

  it('tell a network (length set) from a single address (no length)', () => {
    const service = fromBinary(ServiceSchema, bytes('2206 12040a000001 2208 12040a000000 1808'));
    expect(service.addresses.map((address) => address.length)).to.deep.equal([undefined, 8]);
  });

  it('read the matches of a policy clause from field 2', () => {
    const policy = fromBinary(AuthorizationSchema, bytes('2a06 0a04 1202 4850'));
    expect(policy.rules[0]?.clauses[0]?.matches[0]?.destinationPorts).to.deep.equal([80]);
    expect(fromBinary(StringMatchSchema, bytes('2200')).matchType.case).to.equal('presence');
  });

  it('read and write the delta transport', () => {
    const response = fromBinary(
      DeltaDiscoveryResponseSchema,
      bytes('0a0176 1206 0a0131 1a0172 220174 2a016e 320178'),
    );
    expect(response).to.deep.include({
      systemVersionInfo: 'v',
      typeUrl: 't',
      nonce: 'n',
      removedResources: ['x'],
    });
    expect(response.resources[0]).to.deep.include({ version: '1', name: 'r' });
    const refusal = create(DeltaDiscoveryRequestSchema, {
      typeUrl: 't',
      responseNonce: 'n',
      errorDetail: { message: 'no' },
    });
    expect(hex(toBinary(DeltaDiscoveryRequestSchema, refusal))).to.equal(
      '12017432016e3a0412026e6f',
    );
  });
});
