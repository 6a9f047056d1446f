import { expect } from 'chai';
import { array, assert, constantFrom, oneof, property, string, tuple } from 'fast-check';
import { describe, it } from 'mocha';

import { gatewayAt, ip, ports, service, serving, storeOf, workload } from '#tests/support/mesh.ts';
import { isOwnPort } from '#ztunnel/proxy/ports.ts';
import { readTunnelRequest } from '#ztunnel/proxy/tunnel-request.ts';

const web = service('web.example', '10.1.0.1', { waypoint: gatewayAt('/10.0.0.2') });
const pod = serving(workload('pod', '10.0.0.2'), [web, ports({ 80: 8080, 81: 15_008 })]);
const view = storeOf({ services: [web], workloads: [pod] });

const anyName = oneof(
  constantFrom(
    ':method',
    ':authority',
    ':path',
    'baggage',
    'forwarded',
    'traceparent',
    'x-forwarded-network',
  ),
  string({ maxLength: 10 }),
);
const anyHost = oneof(
  constantFrom(
    '10.0.0.2',
    '10.1.0.1',
    '10.9.9.9',
    '[::1]',
    '[::ffff:10.0.0.2]',
    'web.example',
    'WEB.example.',
  ),
  string({ maxLength: 10 }),
);
const anyPort = constantFrom(
  '80',
  '81',
  '8080',
  '15001',
  '15006',
  '15008',
  '15080',
  '0',
  '080',
  '65536',
  '',
);
const anyHeader = tuple(anyName, string({ unit: 'binary', maxLength: 60 }));

describe('readTunnelRequest() of any headers', () => {
  it('never throws, and never leads anywhere but to an application port of the pod', () => {
    assert(
      property(anyHost, anyPort, array(anyHeader, { maxLength: 4 }), (host, port, more) => {
        const request = readTunnelRequest(
          [[':method', 'CONNECT'], [':authority', `${host}:${port}`], ...more],
          {
            localAddress: { ip: ip('10.0.0.2'), port: 15_008 },
            pod: { namespace: 'default', name: 'pod', serviceAccount: 'default' },
            workload: pod,
            view,
            network: '',
            localhostAppTunnel: true,
          },
        );
        if (request.kind === 'refused') {
          expect(request.reason).to.have.length.within(1, 400);
          return;
        }
        expect(request.target.ip).to.equal('10.0.0.2');
        expect(request.connectTo).to.deep.equal(request.target);
        expect(isOwnPort(request.target.port)).to.equal(false);
        expect(request.target.port).to.be.within(1, 65_535);
      }),
      { numRuns: 2_000 },
    );
  });
});
