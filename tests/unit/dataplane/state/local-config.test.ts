import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Policy } from '#dataplane/state/authorization.ts';
import { PROBLEMS_MAX } from '#dataplane/state/config-value.ts';
import type { MeshSnapshot } from '#dataplane/state/delta.ts';
import {
  describeProblems,
  LOCAL_CONFIG_LENGTH_MAX,
  parseLocalConfig,
} from '#dataplane/state/local-config.ts';
import type { Service } from '#dataplane/state/service.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import {
  cidr,
  gatewayAt,
  gatewayNamed,
  host,
  identity,
  ip,
  key,
  match,
  policy,
  ports,
  service,
  serving,
  uid,
  vip,
  workload,
} from '#tests/support/mesh.ts';

/** What a good text says. */
function read(text: string): MeshSnapshot {
  const config = parseLocalConfig(text, 'mesh.yaml');
  if (config.kind === 'refused') throw new Error(describeProblems('mesh.yaml', config.problems));
  return config.snapshot;
}

/** The problems of a bad text, each as `line:column path: message`. */
function problems(text: string): readonly string[] {
  const config = parseLocalConfig(text, 'mesh.yaml');
  if (config.kind === 'ok') return [];
  return config.problems.map(
    ({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`,
  );
}

/** The same as a person reads them. */
function described(text: string): readonly string[] {
  const config = parseLocalConfig(text, 'm');
  if (config.kind === 'ok') throw new Error('It is right');
  return describeProblems('m', config.problems).split('\n');
}

function oneProblem(text: string): string {
  const found = problems(text);
  expect(found, text).to.have.length(1);
  return found[0] ?? '';
}

const workloadLine = (more: string) => `workloads:\n- {uid: u, name: a, namespace: n, ${more}}\n`;
const serviceLine = (more: string) =>
  `services:\n- {name: a, namespace: n, hostname: h, ${more}}\n`;
const policyLine = (more: string) => `policies:\n- {name: p, namespace: n, ${more}}\n`;
const ruleLine = (conditions: string) =>
  policyLine(`scope: Global, action: Deny, rules: [[[{${conditions}}]]]`);

function readWorkload(more: string): Workload | undefined {
  return read(workloadLine(more)).workloads[0];
}
function readService(more: string): Service | undefined {
  return read(serviceLine(more)).services[0];
}
function readPolicy(more: string): Policy | undefined {
  return read(policyLine(more)).policies[0];
}

function rules(text: string): Policy['rules'] | undefined {
  return readPolicy(`scope: Global, action: Allow, rules: ${text}`)?.rules;
}

describe('parseLocalConfig()', () => {
  it('reads workloads, services and policies in flow style, as test set-ups write them', () => {
    const text = `workloads:
- {uid: "c//v1/Pod/default/a", name: a, namespace: default, serviceAccount: a, workloadIps: ["10.99.0.1"], protocol: HBONE, node: na, network: "", clusterId: Kubernetes, trustDomain: cluster.local, services: {}}
policies: [{name: no-a, namespace: default, scope: Namespace, action: Deny, dryRun: false, rules: [[[{principals: [!Exact cluster.local/ns/default/sa/a]}]]]}]
services: []
`;
    const principals = [{ kind: 'exact', value: 'cluster.local/ns/default/sa/a' }] as const;
    expect(read(text)).to.deep.equal({
      workloads: [
        workload('a', '10.99.0.1', {
          uid: uid('c//v1/Pod/default/a'),
          serviceAccount: 'a',
          protocol: 'HBONE',
          node: 'na',
        }),
      ],
      services: [],
      policies: [policy('no-a', { principals })],
    });
  });

  it('reads the same in block style, with defaults left out', () => {
    const text = `
# the smallest mesh
workloads:
  - uid: Kubernetes//Pod/default/a
    name: a
    namespace: default
    workloadIps:
      - 10.0.0.1
    services:
      default/web.example:
        80: 8080
        443: 0
services:
  - name: web
    namespace: default
    hostname: web.example
    vips: [/10.1.0.1]
    ports: {80: 8080}
`;
    const web = service('web.example', '10.1.0.1');
    expect(read(text)).to.deep.equal({
      workloads: [serving(workload('a', '10.0.0.1'), [web, ports({ 80: 8080, 443: 0 })])],
      services: [web],
      policies: [],
    });
  });

  it('reads the same as JSON', () => {
    const yaml = ruleLine('principals: [!Prefix td/, !Presence ], destinationPorts: [80]');
    const json = JSON.stringify({
      policies: [
        {
          name: 'p',
          namespace: 'n',
          scope: 'Global',
          action: 'Deny',
          rules: [
            [[{ principals: [{ Prefix: 'td/' }, { Presence: [] }], destinationPorts: [80] }]],
          ],
        },
      ],
    });
    expect(read(json)).to.deep.equal(read(yaml));
    const services =
      '{"services": [{"name": "a", "namespace": "n", "hostname": "h", "ports": {"80": 8080}}]}';
    expect(read(services)).to.deep.equal(read(serviceLine('ports: {80: 8080}')));
  });

  it('takes a missing section for an empty list', () => {
    expect(read('policies: []')).to.deep.equal({ workloads: [], services: [], policies: [] });
  });

  it('reads aliases', () => {
    const text = `${workloadLine('workloadIps: &ips [10.0.0.1]')}- {uid: v, name: b, namespace: n, workloadIps: *ips}\n`;
    expect(read(text).workloads.map(({ ips }) => ips)).to.deep.equal([['10.0.0.1'], ['10.0.0.1']]);
  });

  describe('for a workload', () => {
    const table: readonly (readonly [text: string, want: Partial<Workload>])[] = [
      ['workloadIps: []', { ips: [] }],
      [
        'workloadIps: [10.0.0.1, "::ffff:10.0.0.2", "2001:DB8::1"]',
        { ips: [ip('10.0.0.1'), ip('10.0.0.2'), ip('2001:db8::1')] },
      ],
      ['hostname: DB.example', { hostname: 'db.example' }],
      ['hostname: ""', { hostname: '' }],
      ['network: n1', { network: 'n1' }],
      ['protocol: TCP', { protocol: 'TCP' }],
      ['trustDomain: td', { trustDomain: 'td' }],
      ['trustDomain: ""', { trustDomain: 'cluster.local' }],
      ['serviceAccount: ""', { serviceAccount: 'default' }],
      ['clusterId: ""', { clusterId: 'Kubernetes' }],
      [
        'waypoint: {destination: n1/10.0.0.9, hboneMtlsPort: 15008}',
        { waypoint: gatewayAt('n1/10.0.0.9') },
      ],
      [
        'waypoint: {destination: /::1, hboneMtlsPort: 15009}',
        { waypoint: gatewayAt('/::1', 15_009) },
      ],
      [
        'waypoint: {destination: ns/WP.example, hboneMtlsPort: 15008}',
        { waypoint: gatewayNamed('ns', 'wp.example') },
      ],
      ['waypoint: null', { waypoint: undefined }],
      [
        'networkGateway: {destination: ns/gw.example, hboneMtlsPort: 15008}',
        { networkGateway: gatewayNamed('ns', 'gw.example') },
      ],
      ['node: n1', { node: 'n1' }],
      ['canonicalName: c, canonicalRevision: "1"', { canonicalName: 'c', canonicalRevision: '1' }],
      ['workloadName: w, workloadType: cronjob', { workloadName: 'w', workloadType: 'cronjob' }],
      ['nativeTunnel: true', { nativeTunnel: true }],
      [
        'applicationTunnel: {protocol: PROXY, port: 15088}',
        { applicationTunnel: { protocol: 'PROXY', port: 15_088 } },
      ],
      [
        'applicationTunnel: {protocol: NONE, port: null}',
        { applicationTunnel: { protocol: 'NONE', port: undefined } },
      ],
      ['status: Unhealthy', { status: 'Unhealthy' }],
      ['locality: {region: r, zone: z}', { locality: { region: 'r', zone: 'z', subzone: '' } }],
      ['networkMode: HostNetwork', { networkMode: 'HostNetwork' }],
      ['capacity: 0', { capacity: 0 }],
      [
        'services: {n/A.example: {80: 81}}',
        { services: new Map([[host('n', 'a.example'), ports({ 80: 81 })]]) },
      ],
    ];
    for (const [text, want] of table) {
      it(`reads ${text}`, () => {
        expect(readWorkload(text)).to.deep.include(want);
      });
    }

    it('reads the policies that it names', () => {
      const text = `${workloadLine('authorizationPolicies: [n/p]')}${policyLine('scope: WorkloadSelector, action: Allow, rules: []')}`;
      expect(read(text).workloads[0]?.authorizationPolicies).to.deep.equal([key('n/p')]);
    });

    it('refuses a policy name that no policy has: it would deny everything', () => {
      expect(oneProblem(workloadLine('authorizationPolicies: [n/p]'))).to.equal(
        '2:3 workloads[0]: Policy "n/p" is not in "policies"',
      );
    });

    const bad: readonly (readonly [text: string, want: string])[] = [
      [
        'workloadIp: 10.0.0.1',
        '2:35 workloads[0].workloadIp: Unknown field "workloadIp": want uid, ',
      ],
      ['workloadIps: 10.0.0.1', '2:48 workloads[0].workloadIps: Want a list, got "10.0.0.1"'],
      [
        'workloadIps: [10.0.0.0/8]',
        '2:49 workloads[0].workloadIps[0]: Want an IP address, got "10.0.0.0/8"',
      ],
      [
        'workloadIps: [10.0.0.256]',
        'workloads[0].workloadIps[0]: Want an IP address, got "10.0.0.256"',
      ],
      ['workloadIps: [10]', 'workloads[0].workloadIps[0]: Want a text in quotes, got "10"'],
      [
        'protocol: LEGACY_ISTIO_MTLS',
        'workloads[0].protocol: Want TCP or HBONE, got "LEGACY_ISTIO_MTLS"',
      ],
      ['protocol: hbone', 'workloads[0].protocol: Want TCP or HBONE, got "hbone"'],
      [
        'trustDomain: a/b',
        'workloads[0].trustDomain: Want a name without spaces and "/", got "a/b"',
      ],
      [
        'serviceAccount: "a b"',
        'workloads[0].serviceAccount: Want a name without spaces and "/", got "a b"',
      ],
      [
        'waypoint: {destination: /10.0.0.9}',
        'workloads[0].waypoint: Missing field "hboneMtlsPort"',
      ],
      [
        'waypoint: {destination: wp, hboneMtlsPort: 1}',
        'workloads[0].waypoint.destination: Want "network/address" or "namespace/hostname", got "wp"',
      ],
      [
        'waypoint: {destination: /10.0.0.9, hboneMtlsPort: 0}',
        'workloads[0].waypoint.hboneMtlsPort: Want a number from 1 to 65535, got "0"',
      ],
      ['waypoint: /10.0.0.9', 'workloads[0].waypoint: Want a mapping, got "/10.0.0.9"'],
      [
        'workloadType: robot',
        'workloads[0].workloadType: Want deployment, cronjob, pod or job, got "robot"',
      ],
      ['nativeTunnel: yes', 'workloads[0].nativeTunnel: Want true or false, got "yes"'],
      [
        'applicationTunnel: {protocol: PROXY, port: 70000}',
        'workloads[0].applicationTunnel.port: Want a number from 1 to 65535, got "70000"',
      ],
      ['status: Ill', 'workloads[0].status: Want Healthy or Unhealthy, got "Ill"'],
      ['networkMode: Host', 'workloads[0].networkMode: Want Standard or HostNetwork, got "Host"'],
      ['capacity: -1', 'workloads[0].capacity: Want a number from 0 to 4294967295, got "-1"'],
      ['capacity: 1.5', 'workloads[0].capacity: Want a number from 0 to 4294967295, got "1.5"'],
      ['services: [n/h]', 'workloads[0].services: Want a mapping, got a list'],
      ['services: {h: {}}', 'workloads[0].services.h: Want "namespace/hostname", got "h"'],
      [
        'services: {n/h: {0: 80}}',
        'workloads[0].services.n/h.0: Want a port from 1 to 65535, got "0"',
      ],
      [
        'services: {n/h: {65536: 80}}',
        'workloads[0].services.n/h.65536: Want a port from 1 to 65535, got "65536"',
      ],
      [
        'services: {n/h: {80: 65536}}',
        'workloads[0].services.n/h.80: Want a number from 0 to 65535, got "65536"',
      ],
      ['services: {n/h: {80: 1, "80": 2}}', 'workloads[0].services.n/h.80: Duplicate name "80"'],
      [
        'authorizationPolicies: [p]',
        'workloads[0].authorizationPolicies[0]: Want "namespace/name", got "p"',
      ],
      ['hostname: {}', 'workloads[0].hostname: Want a text in quotes, got a mapping'],
      ['node: 5', 'workloads[0].node: Want a text in quotes, got "5"'],
      ['node: !Exact x', 'workloads[0].node: Want a value without a tag, got !Exact'],
      ['node: !other x', 'workloads[0].node: Want a value without a tag, got !other'],
      ['!other node: x', 'workloads[0].node: Want a value without a tag, got !other'],
    ];
    for (const [text, want] of bad) {
      it(`refuses ${text}`, () => {
        expect(oneProblem(workloadLine(text))).to.contain(want);
      });
    }

    it('refuses missing and empty names', () => {
      expect(problems('workloads:\n- {}')).to.deep.equal([
        '2:3 workloads[0]: Missing field "uid"',
        '2:3 workloads[0]: Missing field "name"',
        '2:3 workloads[0]: Missing field "namespace"',
      ]);
      expect(problems('workloads:\n- {uid: "", name: "", namespace: a/b}')).to.deep.equal([
        '2:9 workloads[0].uid: Want a uid, got an empty text',
        '2:19 workloads[0].name: Want a name, got an empty text',
        '2:34 workloads[0].namespace: Want a name without spaces and "/", got "a/b"',
      ]);
      expect(
        oneProblem(`workloads:\n- {uid: u, name: ${'x'.repeat(254)}, namespace: n}`),
      ).to.contain('workloads[0].name: Want a name');
    });

    it('refuses a uid that comes again', () => {
      expect(oneProblem(`${workloadLine('')}- {uid: u, name: b, namespace: n}`)).to.equal(
        '3:3 workloads[1]: "u" is already in line 2',
      );
    });
  });

  describe('for a service', () => {
    const alias = 'spiffe://td/ns/n/sa/s';
    const table: readonly (readonly [text: string, want: Partial<Service>])[] = [
      ['vips: [/10.1.0.1, "n1/2001:db8::1"]', { vips: [vip('/10.1.0.1'), vip('n1/2001:db8::1')] }],
      ['cidrVips: [n1/10.1.0.0/16]', { cidrVips: [{ network: 'n1', cidr: cidr('10.1.0.0/16') }] }],
      [
        'cidrVips: ["/2001:db8::/32"]',
        { cidrVips: [{ network: '', cidr: cidr('2001:db8::/32') }] },
      ],
      ['ports: {80: 8080, 81: 0}', { ports: ports({ 80: 8080, 81: 0 }) }],
      ['endpoints: {}', { name: 'a' }],
      [`subjectAltNames: ["${alias}"]`, { subjectAltNames: [identity(alias)] }],
      [
        'waypoint: {destination: /10.0.0.9, hboneMtlsPort: 15008}',
        { waypoint: gatewayAt('/10.0.0.9') },
      ],
      [
        'weightedWaypoints: [{destination: {destination: /10.0.0.9, hboneMtlsPort: 15008}, weight: 3}]',
        { weightedWaypoints: [{ destination: gatewayAt('/10.0.0.9'), weight: 3 }] },
      ],
      [
        'loadBalancer: {mode: Failover, routingPreferences: [Network, Region, Zone, Subzone, Node, Cluster], healthPolicy: AllowAll}',
        {
          loadBalancer: {
            mode: 'Failover',
            routingPreferences: ['Network', 'Region', 'Zone', 'Subzone', 'Node', 'Cluster'],
            healthPolicy: 'AllowAll',
          },
        },
      ],
      [
        'loadBalancer: {mode: Passthrough}',
        {
          loadBalancer: {
            mode: 'Passthrough',
            routingPreferences: [],
            healthPolicy: 'OnlyHealthy',
          },
        },
      ],
      ['loadBalancer: null', { loadBalancer: undefined }],
      ['ipFamilies: IPv6', { ipFamilies: 'IPv6' }],
      ['ipFamilies: null', { ipFamilies: undefined }],
      ['canonical: true', { canonical: true }],
      ['visibility: Namespace', { visibility: 'Namespace' }],
      [
        '',
        { visibility: 'Public', canonical: false, vips: [], cidrVips: [], weightedWaypoints: [] },
      ],
    ];
    for (const [text, want] of table) {
      it(`reads ${text || 'what has defaults only'}`, () => {
        expect(readService(text)).to.deep.include(want);
      });
    }

    const bad: readonly (readonly [text: string, want: string])[] = [
      [
        'vips: [10.1.0.1]',
        'services[0].vips[0]: Want "network/address" ("/10.0.0.1" on the default network), got "10.1.0.1"',
      ],
      ['vips: [/10.1.0.0/16]', 'services[0].vips[0]: Want "network/address"'],
      [
        'cidrVips: [/10.1.0.0/33]',
        'services[0].cidrVips[0]: Want "network/address/length", got "/10.1.0.0/33"',
      ],
      ['ports: [80]', 'services[0].ports: Want a mapping, got a list'],
      ['ports: {web: 80}', 'services[0].ports.web: Want a port from 1 to 65535, got "web"'],
      ['ports: {80: "8080"}', 'services[0].ports.80: Want a number from 0 to 65535, got "8080"'],
      [
        'endpoints: {u: {}}',
        'services[0].endpoints.u: Endpoints are not read: name this service in "services" of the workload',
      ],
      ['subjectAltNames: [td/ns/n/sa/s]', 'services[0].subjectAltNames[0]: Want "spiffe://'],
      [
        'loadBalancer: {mode: Random}',
        'services[0].loadBalancer.mode: Want Standard, Strict, Failover or Passthrough, got "Random"',
      ],
      [
        'loadBalancer: {routingPreferences: [Rack]}',
        'services[0].loadBalancer.routingPreferences[0]: Want Region, ',
      ],
      [
        'loadBalancer: {healthPolicy: Any}',
        'services[0].loadBalancer.healthPolicy: Want OnlyHealthy or AllowAll, got "Any"',
      ],
      [
        'weightedWaypoints: [{weight: 1}]',
        'services[0].weightedWaypoints[0]: Missing field "destination"',
      ],
      ['ipFamilies: Six', 'services[0].ipFamilies: Want Dual, IPv4 or IPv6, got "Six"'],
      ['visibility: All', 'services[0].visibility: Want Public or Namespace, got "All"'],
      ['selector: {}', 'services[0].selector: Unknown field "selector": want name, '],
    ];
    for (const [text, want] of bad) {
      it(`refuses ${text}`, () => {
        expect(oneProblem(serviceLine(text))).to.contain(want);
      });
    }

    it('refuses a hostname that comes again in its namespace, in any case', () => {
      const again = `${serviceLine('')}- {name: b, namespace: n, hostname: H}`;
      expect(oneProblem(again)).to.equal('3:3 services[1]: "n/h" is already in line 2');
      const elsewhere = `${serviceLine('')}- {name: a, namespace: m, hostname: h}`;
      expect(read(elsewhere).services).to.have.length(2);
    });
  });

  describe('for a policy', () => {
    it('reads all conditions', () => {
      const text = `policies:
- name: all
  namespace: default
  scope: WorkloadSelector
  action: Allow
  dryRun: true
  rules:
  - - - namespaces: [!Exact a, {Exact: b}]
        notNamespaces: [!Prefix a]
        principals: [!Suffix /sa/a]
        notPrincipals: [!Presence ]
        serviceAccounts: [{namespace: n, serviceAccount: s}]
        notServiceAccounts: [{namespace: n, serviceAccount: t}]
        sourceIps: [10.0.0.0/8, 10.1.2.3]
        notSourceIps: ["2001:db8::/32"]
        destinationIps: [10.1.0.0/16]
        notDestinationIps: [10.1.1.1]
        destinationPorts: [80, 443]
        notDestinationPorts: [1]
`;
      const conditions = match({
        namespaces: [
          { kind: 'exact', value: 'a' },
          { kind: 'exact', value: 'b' },
        ],
        notNamespaces: [{ kind: 'prefix', value: 'a' }],
        principals: [{ kind: 'suffix', value: '/sa/a' }],
        notPrincipals: [{ kind: 'presence' }],
        serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
        notServiceAccounts: [{ namespace: 'n', serviceAccount: 't' }],
        sourceIps: [cidr('10.0.0.0/8'), cidr('10.1.2.3/32')],
        notSourceIps: [cidr('2001:db8::/32')],
        destinationIps: [cidr('10.1.0.0/16')],
        notDestinationIps: [cidr('10.1.1.1/32')],
        destinationPorts: [80, 443],
        notDestinationPorts: [1],
      });
      expect(read(text).policies).to.deep.equal([
        policy('all', conditions, { scope: 'WorkloadSelector', action: 'Allow', dryRun: true }),
      ]);
    });

    it('keeps the empty forms apart: no rule, no clause, no match, no condition', () => {
      expect(rules('[]')).to.deep.equal([]);
      expect(rules('[[]]')).to.deep.equal([[]]);
      expect(rules('[[[]]]')).to.deep.equal([[[]]]);
      expect(rules('[[[{}]]]')).to.deep.equal([[[match({})]]]);
    });

    it('reads every spelling of a string match, and numbers after a tag as text', () => {
      const text = ruleLine(
        'namespaces: [!Presence , !Presence [], {Presence: []}, {Presence: null}, !Exact 5, !Prefix "a b"]',
      );
      expect(read(text).policies[0]?.rules[0]?.[0]?.[0]?.namespaces).to.deep.equal([
        { kind: 'presence' },
        { kind: 'presence' },
        { kind: 'presence' },
        { kind: 'presence' },
        { kind: 'exact', value: '5' },
        { kind: 'prefix', value: 'a b' },
      ]);
    });

    const waypointHint = 'Bind the workload to a waypoint and put the policy there';
    for (const field of [
      'methods',
      'notPaths',
      'hosts',
      'when',
      'requestPrincipals',
      'headers',
      'from',
    ]) {
      it(`refuses "${field}" in a match, and says that it can not be enforced here`, () => {
        const problem = oneProblem(ruleLine(`${field}: [x], destinationPorts: [80]`));
        expect(problem).to.contain(
          `policies[0].rules[0][0][0].${field}: "${field}" cannot be enforced here`,
        );
        expect(problem).to.contain(waypointHint);
      });
    }

    const bad: readonly (readonly [text: string, want: string])[] = [
      [
        'scope: Global, action: Custom, rules: []',
        `policies[0].action: Want Allow or Deny, got "Custom": the node tunnel judges connections`,
      ],
      ['scope: Global, action: Audit, rules: []', waypointHint],
      [
        'scope: Global, action: ALLOW, rules: []',
        'policies[0].action: Want Allow or Deny, got "ALLOW"',
      ],
      [
        'scope: Cluster, action: Deny, rules: []',
        'policies[0].scope: Want Global, Namespace or WorkloadSelector, got "Cluster"',
      ],
      ['scope: Global, action: Deny', 'policies[0]: Missing field "rules"'],
      ['action: Deny, rules: []', 'policies[0]: Missing field "scope"'],
      ['scope: Global, rules: []', 'policies[0]: Missing field "action"'],
      [
        'scope: Global, action: Deny, rules: [], dryRun: "true"',
        'policies[0].dryRun: Want true or false, got "true"',
      ],
      [
        'scope: Global, action: Deny, rules: [], selector: {}',
        'policies[0].selector: "selector" cannot be enforced here',
      ],
      [
        'scope: Global, action: Deny, rules: [], groups: []',
        'policies[0].groups: Unknown field "groups": want name, ',
      ],
      ['scope: Global, action: Deny, rules: {}', 'policies[0].rules: Want a list, got a mapping'],
      [
        'scope: Global, action: Deny, rules: [{from: []}]',
        'policies[0].rules[0]: Want a list, got a mapping',
      ],
      [
        'scope: Global, action: Deny, rules: [[{destinationPorts: [80]}]]',
        'policies[0].rules[0][0]: Want a list, got a mapping',
      ],
      [
        'scope: Global, action: Deny, rules: [[[[]]]]',
        'policies[0].rules[0][0][0]: Want a mapping, got a list',
      ],
      ['scope: Global, action: Deny, rules: null', 'policies[0].rules: Want a list, got nothing'],
    ];
    for (const [text, want] of bad) {
      it(`refuses ${text}`, () => {
        expect(oneProblem(policyLine(text))).to.contain(want);
      });
    }

    const badConditions: readonly (readonly [text: string, want: string])[] = [
      ['ports: [80]', '.ports: "ports" cannot be enforced here'],
      ['principal: [!Exact x]', '.principal: Unknown condition "principal": want namespaces, '],
      ['principals: []', '.principals: An empty list is no condition: leave the field out'],
      ['principals: !Exact x', '.principals: Want a value without a tag, got !Exact'],
      ['principals: [!Exact ""]', '.principals[0]: Want a text that is not empty'],
      ['principals: [!Prefix ]', '.principals[0]: Want a text that is not empty'],
      ['principals: [{Suffix: ""}]', '.principals[0].Suffix: Want a text that is not empty'],
      [
        'principals: [x]',
        '.principals[0]: Want !Exact x, !Prefix x, !Suffix x or !Presence, got "x"',
      ],
      ['principals: [{Exact: a, Prefix: b}]', '.principals[0]: Want !Exact x, '],
      ['principals: [{}]', '.principals[0]: Want !Exact x, '],
      ['principals: [{Regex: x}]', '.principals[0].Regex: Unknown string match "!Regex"'],
      ['principals: [!Regex x]', '.principals[0]: Unknown string match "!Regex": want !Exact, '],
      ['principals: [!exact x]', '.principals[0]: Unknown string match "!exact"'],
      ['principals: [{Exact: 5}]', '.principals[0].Exact: Want a text in quotes, got "5"'],
      [
        'principals: [{Exact: !Prefix x}]',
        '.principals[0].Exact: Want a value without a tag, got !Prefix',
      ],
      ['principals: [!Presence x]', '.principals[0]: Want nothing after !Presence'],
      ['principals: [{Presence: [x]}]', '.principals[0].Presence: Want nothing after !Presence'],
      ['principals: [!Exact "*"]', '.principals[0]: "*" is compared as it stands, "*" included'],
      [
        'principals: [!Exact spiffe://td/ns/n/sa/s]',
        '.principals[0]: "spiffe://td/ns/n/sa/s" can never match',
      ],
      ['namespaces: [!Suffix "*x"]', '.namespaces[0]: "*x" is compared as it stands'],
      [
        'sourceIps: [10.0.0.0/33]',
        '.sourceIps[0]: Want a block such as "10.0.0.0/8", got "10.0.0.0/33"',
      ],
      ['notDestinationIps: [any]', '.notDestinationIps[0]: Want a block'],
      ['destinationPorts: [0]', '.destinationPorts[0]: Want a number from 1 to 65535, got "0"'],
      [
        'notDestinationPorts: [65536]',
        '.notDestinationPorts[0]: Want a number from 1 to 65535, got "65536"',
      ],
      ['destinationPorts: ["80"]', '.destinationPorts[0]: Want a number from 1 to 65535, got "80"'],
      ['destinationPorts: 80', '.destinationPorts: Want a list, got "80"'],
      ['serviceAccounts: [n/s]', '.serviceAccounts[0]: Want a mapping, got "n/s"'],
      ['serviceAccounts: [{namespace: n}]', '.serviceAccounts[0]: Missing field "serviceAccount"'],
      [
        'serviceAccounts: [{namespace: n, serviceAccount: ""}]',
        '.serviceAccounts[0].serviceAccount: Want a name, got an empty text',
      ],
    ];
    for (const [text, want] of badConditions) {
      it(`refuses ${text}`, () => {
        expect(oneProblem(ruleLine(text))).to.contain(`policies[0].rules[0][0][0]${want}`);
      });
    }

    it('refuses a name that comes again in its namespace', () => {
      const rest = 'scope: Global, action: Deny, rules: []';
      expect(oneProblem(`${policyLine(rest)}- {name: p, namespace: n, ${rest}}`)).to.equal(
        '3:3 policies[1]: "n/p" is already in line 2',
      );
    });
  });

  describe('for the text as a whole', function () {
    // Parsing large YAML takes its time on a busy machine.
    const bad: readonly (readonly [name: string, text: string, want: string])[] = [
      ['nothing', '', '1:1 : Empty: want a mapping with "workloads", "services" and "policies"'],
      ['only a comment', '# later\n', '1:1 : Empty: want a mapping'],
      ['null', 'null', '1:1 : Empty: want a mapping'],
      ['a list', '- a', '1:1 : Want a mapping, got a list'],
      [
        'an unknown section',
        'workload: []',
        '1:1 workload: Unknown field "workload": want workloads, services or policies',
      ],
      ['a section without a list', 'policies:', '1:10 policies: Want a list, got nothing'],
      [
        'a section that comes twice',
        'policies: []\npolicies: []',
        '2:1 : Not YAML: Map keys must be unique',
      ],
      [
        'a section that comes twice as an alias',
        '&a policies: []\n? *a\n: []',
        '2:3 policies: Duplicate name "policies"',
      ],
      [
        'a second document',
        'policies: []\n---\npolicies: []',
        '2:1 : Want one document, got another one after it',
      ],
      ['an alias without its anchor', 'policies: *p', '1:11 policies: No anchor "&p" before'],
      [
        'a list inside of itself',
        'policies: &p [*p]',
        '1:15 policies[0]: Want a mapping, got a list',
      ],
    ];
    for (const [name, text, want] of bad) {
      it(`refuses ${name}`, () => {
        expect(oneProblem(text)).to.contain(want);
      });
    }

    it('refuses what is not YAML, with the line', () => {
      expect(problems('policies:\n  - a: b: c\n')[0]).to.match(/^2:\d+ : Not YAML: /);
    });

    it('refuses a text that is too long', () => {
      const text = `# ${'x'.repeat(LOCAL_CONFIG_LENGTH_MAX)}\npolicies: []`;
      expect(oneProblem(text)).to.match(/^1:1 : Want at most 16777216 characters, got /);
    });

    it('refuses aliases that multiply into more than it wants to read', () => {
      const numbers = Array(1_000).fill('80').join(', ');
      const lines = [
        'policies:',
        '- name: p',
        '  namespace: n',
        '  scope: Global',
        '  action: Deny',
      ];
      lines.push('  rules:', `  - - - &m {destinationPorts: [${numbers}]}`);
      for (let count = 0; count < 1_000; count += 1) lines.push('      - *m');
      expect(problems(lines.join('\n'))[0]).to.contain('Too many values');
    });

    it('refuses deep nesting without running out of stack', () => {
      expect(problems(`policies: ${'['.repeat(2_000)}`)[0]).to.contain('nested too deeply');
      expect(problems(`policies: ${'{a: '.repeat(2_000)}`)).to.have.length.greaterThan(0);
    });

    it('collects problems, in the order of the text, but not more than 20', () => {
      const found = problems(`policies: [${'5, '.repeat(30)}]\nworkloads: 7\nx: 1`);
      expect(found).to.have.length(PROBLEMS_MAX);
      const both = problems('x: 1\nservices: 5\nworkloads: 7');
      expect(both.map((text) => text.slice(0, 2))).to.deep.equal(['1:', '2:', '3:']);
    });

    it('names the file', () => {
      expect(parseLocalConfig('', 'mesh.yaml')).to.include({ fileName: 'mesh.yaml' });
    });
  });
});

describe('parseLocalConfig() of what is not YAML', () => {
  it('says no more than the first mistakes, from which the others follow', () => {
    expect(problems(`policies: []\n${'\tworkloads: x: y\n'.repeat(5)}`)).to.have.length(3);
  });
});

describe('parseLocalConfig()', () => {
  it('says whether there is a list of policies', () => {
    expect(parseLocalConfig('workloads: []', 'm')).to.include({ lacksPolicies: true });
    expect(parseLocalConfig('policies: []', 'm')).to.not.have.property('lacksPolicies');
  });
});

describe('describeProblems()', () => {
  it('escapes what a terminal would obey, and breaks no line', () => {
    const found = [{ line: 1, column: 1, path: '', message: 'got "a\nb\u001b[2J\u0085"' }];
    expect(describeProblems('m', found)).to.equal('m:1:1: got "a\\nb\\x1b[2J\\x85"');
  });

  it('gives a line for each problem, with its place', () => {
    const found = [
      { line: 2, column: 5, path: 'workloads[0]', message: 'Missing field "uid"' },
      { line: 9, column: 1, path: '', message: 'Not YAML: x' },
    ];
    expect(describeProblems('mesh.yaml', found)).to.equal(
      'mesh.yaml:2:5: workloads[0]: Missing field "uid"\nmesh.yaml:9:1: Not YAML: x',
    );
  });

  it('names the object, as far as it says who it is, since nobody counts the items of a long list', () => {
    const text = `workloads:
- {uid: u1, name: shop, namespace: default, workloadIps: [x]}
- {uid: u2, hostname: {}}
- {name: till, workloadIps: [x]}
- {workloadIps: [x]}
- {uid: "one\\ntwo", name: 5, namespace: default, authorizationPolicies: [n/p]}
`;
    const places = described(text).map((line) => line.replace(/^m:\d+:\d+: /, ''));
    expect(places).to.deep.equal([
      'workloads[0].workloadIps[0] (default/shop, uid "u1"): Want an IP address, got "x"',
      'workloads[1] (uid "u2"): Missing field "name"',
      'workloads[1] (uid "u2"): Missing field "namespace"',
      'workloads[1].hostname (uid "u2"): Want a text in quotes, got a mapping',
      'workloads[2] (till): Missing field "uid"',
      'workloads[2] (till): Missing field "namespace"',
      'workloads[2].workloadIps[0] (till): Want an IP address, got "x"',
      'workloads[3]: Missing field "uid"',
      'workloads[3]: Missing field "name"',
      'workloads[3]: Missing field "namespace"',
      'workloads[3].workloadIps[0]: Want an IP address, got "x"',
      'workloads[4] (default): Policy "n/p" is not in "policies"',
      'workloads[4].name (default): Want a text in quotes, got "5"',
    ]);
  });

  it('names services by their hostname, and policies', () => {
    expect(described(serviceLine('visibility: All'))[0]).to.contain(
      'services[0].visibility (n/h): Want',
    );
    expect(described(ruleLine('sourceIps: [x]'))[0]).to.contain(
      'policies[0].rules[0][0][0].sourceIps[0] (n/p): Want',
    );
    expect(
      described(
        `${policyLine('scope: Global, action: Deny, rules: []')}- {name: ${'q'.repeat(90)}}`,
      )[0],
    ).to.match(/policies\[1\] \(q{80}…\): Missing/);
  });
});
