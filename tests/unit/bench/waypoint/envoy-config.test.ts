import { expect } from 'chai';
import { describe, it } from 'mocha';

import { renderEnvoyConfig } from '#bench/waypoint/envoy-config.ts';

const SERVER = 'spiffe://cluster.local/ns/default/sa/server';
const CLIENT = 'spiffe://cluster.local/ns/default/sa/client';
const text = renderEnvoyConfig({
  service: { ip: '10.96.0.1', port: 80 },
  endpoint: { ip: '10.0.0.3', port: 8080, identity: SERVER },
  client: CLIENT,
  files: { certificate: '/c/chain.pem', key: '/c/key.pem', authority: '/c/root.pem' },
});

interface Named {
  readonly name: string;
}
const config = JSON.parse(text) as {
  readonly static_resources: {
    readonly listeners: readonly Named[];
    readonly clusters: readonly Named[];
  };
};
const { listeners, clusters } = config.static_resources;
const textOf = (all: readonly Named[], name: string): string =>
  JSON.stringify(all.find((each) => each.name === name));

describe('renderEnvoyConfig()', () => {
  it('ends tunnels with a certificate that the peer must have too, of TLS 1.3', () => {
    const end = textOf(listeners, 'tunnel-end');
    expect(end).to.include('"port_value":15008').and.include('"require_client_certificate":true');
    expect(end).to.include('"tls_minimum_protocol_version":"TLSv1_3"');
    expect(end).to.include('"filename":"/c/root.pem"').and.include('"connect_matcher":{}');
  });

  it('lets one identity in, by one rule, and routes by one route of the service', () => {
    const requests = textOf(listeners, 'requests');
    expect(requests).to.include(`"action":"ALLOW"`).and.include(`"exact":"${CLIENT}"`);
    expect(requests).to.include('"address_prefix":"10.96.0.1"');
    expect(requests).to.include('"path_separated_prefix":"/1k"');
  });

  it('carries requests on in a tunnel to the endpoint, whose identity it wants to see', () => {
    expect(textOf(clusters, 'endpoint')).to.include('"local":"10.0.0.3:8080"');
    const tunnel = textOf(clusters, 'tunnel');
    expect(tunnel).to.include(`"exact":"${SERVER}"`);
    expect(tunnel).to.include('"upstream_port_override":15008');
  });
});
