import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type Dump,
  dumpEndpoints,
  dumpPolicy,
  dumpService,
  dumpWorkload,
} from '#dataplane/state/dump.ts';
import { parseLocalConfig } from '#dataplane/state/local-config.ts';
import { serviceOf } from '#dataplane/state/service.ts';
import {
  cidr,
  gatewayAt,
  gatewayNamed,
  identity,
  key,
  policy,
  ports,
  service,
  serving,
  vip,
  workload,
} from '#tests/support/mesh.ts';

/** What a reader of the printed dump gets: fields that are undefined are gone. */
function printed(dump: Dump): unknown {
  return JSON.parse(JSON.stringify(dump));
}

const web = service('web.example', '10.1.0.1');
const everyField = serving(
  workload('pod', '10.0.0.1', {
    waypoint: gatewayAt('n/10.0.0.9'),
    networkGateway: gatewayNamed('ns', 'gw.example', 15_009),
    protocol: 'HBONE',
    networkMode: 'HostNetwork',
    network: 'n',
    workloadName: 'w',
    workloadType: 'pod',
    canonicalName: 'c',
    canonicalRevision: 'v1',
    hostname: 'pod.example',
    node: 'node1',
    nativeTunnel: true,
    applicationTunnel: { protocol: 'PROXY', port: 15_088 },
    authorizationPolicies: [key('default/p')],
    status: 'Unhealthy',
    locality: { region: 'r', zone: 'z', subzone: 's' },
    capacity: 2,
  }),
  [web, ports({ 80: 8080 })],
);

describe('dumpWorkload()', () => {
  it('prints every field', () => {
    expect(printed(dumpWorkload(everyField))).to.deep.equal({
      workloadIps: ['10.0.0.1'],
      waypoint: { destination: 'n/10.0.0.9', hboneMtlsPort: 15_008 },
      networkGateway: { destination: 'ns/gw.example', hboneMtlsPort: 15_009 },
      protocol: 'HBONE',
      networkMode: 'HostNetwork',
      uid: 'Kubernetes//Pod/default/pod',
      name: 'pod',
      namespace: 'default',
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      network: 'n',
      workloadName: 'w',
      workloadType: 'pod',
      canonicalName: 'c',
      canonicalRevision: 'v1',
      hostname: 'pod.example',
      node: 'node1',
      nativeTunnel: true,
      applicationTunnel: { protocol: 'PROXY', port: 15_088 },
      authorizationPolicies: ['default/p'],
      status: 'Unhealthy',
      clusterId: 'Kubernetes',
      locality: { region: 'r', zone: 'z', subzone: 's' },
      services: ['default/web.example'],
      capacity: 2,
    });
  });

  it('leaves out what has no value', () => {
    expect(printed(dumpWorkload(workload('a', '')))).to.deep.equal({
      workloadIps: [],
      protocol: 'TCP',
      networkMode: 'Standard',
      uid: 'Kubernetes//Pod/default/a',
      name: 'a',
      namespace: 'default',
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      workloadType: 'deployment',
      status: 'Healthy',
      clusterId: 'Kubernetes',
      capacity: 1,
    });
  });
});

describe('dumpService()', () => {
  const endpoint = { workload: everyField, ports: ports({ 80: 8080 }) };
  const printedEndpoints = {
    'Kubernetes//Pod/default/pod': {
      workloadUid: 'Kubernetes//Pod/default/pod',
      port: { 80: 8080 },
      status: 'Unhealthy',
    },
  };
  const everything = serviceOf({
    ...web,
    cidrVips: [{ network: '', cidr: cidr('10.1.0.0/16') }],
    vips: [vip('n/10.1.0.1'), vip('/::1')],
    subjectAltNames: [identity('spiffe://td/ns/n/sa/s')],
    waypoint: gatewayAt('/10.0.0.9'),
    weightedWaypoints: [{ destination: gatewayAt('/10.0.0.9'), weight: 2 }],
    loadBalancer: { mode: 'Strict', routingPreferences: ['Zone'], healthPolicy: 'AllowAll' },
    ipFamilies: 'IPv4',
    canonical: true,
    visibility: 'Namespace',
  });

  it('prints every field', () => {
    expect(printed(dumpService(everything, [endpoint]))).to.deep.equal({
      name: 'web',
      namespace: 'default',
      hostname: 'web.example',
      vips: ['n/10.1.0.1', '/::1'],
      cidrVips: ['/10.1.0.0/16'],
      ports: { 80: 8080 },
      endpoints: printedEndpoints,
      subjectAltNames: ['spiffe://td/ns/n/sa/s'],
      waypoint: { destination: '/10.0.0.9', hboneMtlsPort: 15_008 },
      weightedWaypoints: [
        { destination: { destination: '/10.0.0.9', hboneMtlsPort: 15_008 }, weight: 2 },
      ],
      loadBalancer: { routingPreferences: ['Zone'], mode: 'Strict', healthPolicy: 'AllowAll' },
      ipFamilies: 'IPv4',
      canonical: true,
      visibility: 'Namespace',
    });
  });

  it('leaves out what has no value', () => {
    expect(printed(dumpService(web, []))).to.deep.equal({
      name: 'web',
      namespace: 'default',
      hostname: 'web.example',
      vips: ['/10.1.0.1'],
      ports: { 80: 8080 },
      endpoints: {},
      subjectAltNames: [],
      canonical: false,
    });
  });

  it('prints what the local configuration reads back, endpoints aside', () => {
    const text = JSON.stringify({ services: [dumpService(everything, [])], policies: [] });
    expect(parseLocalConfig(text, 'dump.json')).to.deep.equal({
      kind: 'ok',
      snapshot: { workloads: [], services: [everything], policies: [] },
    });
  });

  it('prints endpoints also without their service', () => {
    expect(printed(dumpEndpoints([endpoint]))).to.deep.equal(printedEndpoints);
  });
});

describe('dumpPolicy()', () => {
  const everything = policy('p', {
    namespaces: [{ kind: 'exact', value: 'a' }],
    notNamespaces: [{ kind: 'prefix', value: 'b' }],
    principals: [{ kind: 'suffix', value: 'c' }],
    notPrincipals: [{ kind: 'presence' }],
    serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
    notServiceAccounts: [{ namespace: 'n', serviceAccount: 't' }],
    sourceIps: [cidr('10.0.0.0/8')],
    notSourceIps: [cidr('10.1.2.3')],
    destinationIps: [cidr('2001:db8::/32')],
    notDestinationIps: [cidr('::1')],
    destinationPorts: [80],
    notDestinationPorts: [81],
  });

  it('prints every condition, and nothing for the others', () => {
    expect(printed(dumpPolicy(everything))).to.deep.equal({
      name: 'p',
      namespace: 'default',
      scope: 'Namespace',
      action: 'Deny',
      dryRun: false,
      rules: [
        [
          [
            {
              namespaces: [{ Exact: 'a' }],
              notNamespaces: [{ Prefix: 'b' }],
              principals: [{ Suffix: 'c' }],
              notPrincipals: [{ Presence: [] }],
              serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
              notServiceAccounts: [{ namespace: 'n', serviceAccount: 't' }],
              sourceIps: ['10.0.0.0/8'],
              notSourceIps: ['10.1.2.3/32'],
              destinationIps: ['2001:db8::/32'],
              notDestinationIps: ['::1/128'],
              destinationPorts: [80],
              notDestinationPorts: [81],
            },
          ],
        ],
      ],
    });
    const rules = [[], [[]], [[{}]]];
    const forms = policy('p', {}, { rules: [[], [[]], policy('q', {}).rules[0]!] });
    expect(printed(dumpPolicy(forms))).to.have.deep.property('rules', rules);
  });

  it('prints what the local configuration reads back', () => {
    const text = JSON.stringify({ policies: [dumpPolicy(everything)] });
    expect(parseLocalConfig(text, 'dump.json')).to.deep.equal({
      kind: 'ok',
      snapshot: { workloads: [], services: [], policies: [everything] },
    });
  });
});
