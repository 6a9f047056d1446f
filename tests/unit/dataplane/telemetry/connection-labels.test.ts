import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ConnectionFacts } from '#dataplane/telemetry/connection-labels.ts';
import {
  coarseLabels,
  connectionLabels,
  isFailure,
  LOCALITY_LABELS,
  namedLabels,
  TRAFFIC_LABELS,
  withResponseFlag,
} from '#dataplane/telemetry/connection-labels.ts';

const till = {
  workloadName: 'till',
  canonicalName: 'till-app',
  canonicalRevision: 'v2',
  namespace: 'shop',
  cluster: 'Kubernetes',
  region: 'north',
  zone: 'north-1',
};

const facts: ConnectionFacts = {
  reporter: 'source',
  source: { configured: till, identity: 'spiffe://cluster.local/ns/shop/sa/till' },
  destination: {
    configured: { workloadName: 'stock', canonicalName: 'stock', namespace: 'shop' },
    identity: 'spiffe://cluster.local/ns/shop/sa/stock',
  },
  service: { hostname: 'stock.shop.svc.cluster.local', name: 'stock', namespace: 'shop' },
  mutualTls: true,
};

describe('connectionLabels()', () => {
  it('fills every label, in the order of the metric, and localities at the end', () => {
    expect(Object.entries(namedLabels(connectionLabels(facts)))).to.deep.equal([
      ['reporter', 'source'],
      ['source_workload', 'till'],
      ['source_canonical_service', 'till-app'],
      ['source_canonical_revision', 'v2'],
      ['source_workload_namespace', 'shop'],
      ['source_principal', 'spiffe://cluster.local/ns/shop/sa/till'],
      ['source_app', 'till-app'],
      ['source_version', 'v2'],
      ['source_cluster', 'Kubernetes'],
      ['destination_service', 'stock.shop.svc.cluster.local'],
      ['destination_service_namespace', 'shop'],
      ['destination_service_name', 'stock'],
      ['destination_workload', 'stock'],
      ['destination_canonical_service', 'stock'],
      ['destination_canonical_revision', 'unknown'],
      ['destination_workload_namespace', 'shop'],
      ['destination_principal', 'spiffe://cluster.local/ns/shop/sa/stock'],
      ['destination_app', 'stock'],
      ['destination_version', 'unknown'],
      ['destination_cluster', 'unknown'],
      ['request_protocol', 'tcp'],
      ['response_flags', '-'],
      ['connection_security_policy', 'mutual_tls'],
      ['source_region', 'north'],
      ['source_zone', 'north-1'],
      ['destination_region', 'unknown'],
      ['destination_zone', 'unknown'],
    ]);
  });

  it('has no localities when neither workload is known', () => {
    const labels = connectionLabels({
      reporter: 'destination',
      source: {},
      destination: {},
      mutualTls: false,
    });
    expect(labels).to.have.length(TRAFFIC_LABELS.length);
    expect(namedLabels(labels)).not.to.have.any.keys(...LOCALITY_LABELS);
  });

  it('names no principal without mutual TLS', () => {
    const named = namedLabels(connectionLabels({ ...facts, mutualTls: false }));
    expect(named).to.include({
      source_principal: 'unknown',
      destination_principal: 'unknown',
      connection_security_policy: 'unknown',
    });
  });

  it('takes what the peer claims only when the configuration does not know it', () => {
    const claimed = { workloadName: 'admin', namespace: 'kube-system', region: 'south' };
    const configured = { workloadName: 'till' };
    const known = connectionLabels({ ...facts, source: { configured, claimed } });
    expect(namedLabels(known)).to.include({
      source_workload: 'till',
      source_workload_namespace: 'unknown',
      source_region: 'unknown',
    });
    const unknown = connectionLabels({ ...facts, source: { claimed } });
    expect(namedLabels(unknown)).to.include({
      source_workload: 'admin',
      source_workload_namespace: 'kube-system',
      source_region: 'south',
    });
  });

  it('bounds and cleans values that a peer chose', () => {
    const claimed = {
      workloadName: 'x'.repeat(10_000),
      namespace: 'a\u0000b\nc\u202E',
      cluster: '',
      zone: 'zürich"\\',
    };
    const named = namedLabels(connectionLabels({ ...facts, source: { claimed } }));
    expect(named).to.include({
      source_workload: 'x'.repeat(253),
      source_workload_namespace: 'a_b_c_',
      source_cluster: 'unknown',
      source_zone: 'zürich"\\',
    });
  });
});

describe('withResponseFlag()', () => {
  it('changes the flag and nothing else', () => {
    const labels = connectionLabels(facts);
    const denied = withResponseFlag(labels, 'DENY');
    expect(namedLabels(denied)).to.deep.equal({ ...namedLabels(labels), response_flags: 'DENY' });
    expect([isFailure(labels), isFailure(denied)]).to.deep.equal([false, true]);
  });
});

describe('coarseLabels()', () => {
  it('keeps only the labels with few values', () => {
    const coarse = namedLabels(coarseLabels(withResponseFlag(connectionLabels(facts), 'CONNECT')));
    const kept = Object.entries(coarse).filter(([, value]) => value !== 'unknown');
    expect(kept).to.deep.equal([
      ['reporter', 'source'],
      ['request_protocol', 'tcp'],
      ['response_flags', 'CONNECT'],
      ['connection_security_policy', 'mutual_tls'],
    ]);
  });
});
