import { expect } from 'chai';
import { describe, it } from 'mocha';

import { endpointSliceRecord } from '#istiod/inputs/endpoint-slices.ts';

const OF_SHELF = { 'kubernetes.io/service-name': 'shelf' };

function recordOf(more: object, labels: Record<string, string> = OF_SHELF) {
  const metadata = { name: 'shelf-1', namespace: 'shop', labels };
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata,
    addressType: 'IPv4',
    ...more,
  };
  return endpointSliceRecord(slice);
}

describe('endpointSliceRecord()', () => {
  it('tells pods from addresses that are none', () => {
    const record = recordOf({
      endpoints: [
        { addresses: ['10.0.0.7'], targetRef: { kind: 'Pod', name: 'till', uid: 'u1' } },
        { addresses: ['192.0.2.1'], conditions: { ready: true } },
        { addresses: ['192.0.2.2'], conditions: { ready: false } },
        { addresses: ['192.0.2.3'] },
        { addresses: ['nonsense'] },
      ],
      ports: [
        { name: 'http', port: 8080 },
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'any' },
      ],
    });
    expect(record).to.deep.equal({
      namespace: 'shop',
      name: 'shelf-1',
      service: 'shelf',
      ports: [{ name: 'http', number: 8080 }],
      pods: [{ namespace: 'shop', name: 'till', uid: 'u1' }],
      addresses: [
        { ip: '192.0.2.1', ready: true },
        { ip: '192.0.2.2', ready: false },
        { ip: '192.0.2.3', ready: true },
      ],
    });
  });

  it('is nothing when it belongs to no service or holds names', () => {
    expect(recordOf({ endpoints: [] }, {})).to.equal(undefined);
    expect(recordOf({ addressType: 'FQDN', endpoints: [] })).to.equal(undefined);
  });

  it('may be empty', () => {
    expect(recordOf({ endpoints: null, ports: null })).to.deep.include({ pods: [], ports: [] });
  });
});
