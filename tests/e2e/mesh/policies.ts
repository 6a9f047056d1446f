import { expect } from 'chai';
import { it } from 'mocha';

import { AUTHORIZATION_POLICIES, type Condition, type KubeObject } from '#kube/resources.ts';

import { type Home, MESH } from '../support/mesh-cluster.ts';
import { ECHO, HTTP, PROBED, SHOP, type Stage } from './stage.ts';

/** Where probes seem to come from. */
const PROBE_SOURCE = '169.254.7.127';

/** Who may call whom: `till>desk`, or `till>desk:http`. */
type Calls = Readonly<Record<string, boolean>>;

const EVERYTHING = [
  'till>desk',
  'till>desk:http',
  'guest>desk',
  'guest>nook',
  'stranger>desk',
  'stranger>desk:http',
  'stranger>nook',
] as const;

interface Case {
  readonly says: string;
  readonly policy: KubeObject;
  /** Calls that are refused then; all others are served. */
  readonly refused: readonly (typeof EVERYTHING)[number][];
  /** What the policy's status says, when it is not `attached to ztunnel`. */
  readonly status?: RegExp;
}

const GUEST = { principals: [`cluster.local/ns/${SHOP}/sa/guest`] };
const TILL = { serviceAccounts: ['till'] };
const DESK = { matchLabels: { app: 'desk' } };

const cases: readonly Case[] = [
  {
    says: 'DENY with a selector: for those that it selects',
    policy: authorization(SHOP, { action: 'DENY', selector: DESK, rules: [from(GUEST)] }),
    refused: ['guest>desk'],
  },
  {
    says: 'DENY without a selector: for its namespace',
    policy: authorization(SHOP, { action: 'DENY', rules: [from(GUEST)] }),
    refused: ['guest>desk', 'guest>nook'],
  },
  {
    says: 'DENY of a port: for nobody else',
    policy: authorization(SHOP, {
      action: 'DENY',
      rules: [{ to: [{ operation: { ports: [String(ECHO)] } }] }],
    }),
    refused: ['till>desk', 'guest>desk', 'guest>nook', 'stranger>desk', 'stranger>nook'],
  },
  {
    says: 'DENY of everybody without an identity',
    policy: authorization(SHOP, { action: 'DENY', rules: [from({ notPrincipals: ['*'] })] }),
    refused: ['stranger>desk', 'stranger>desk:http', 'stranger>nook'],
  },
  {
    says: 'ALLOW: for nobody else, where it applies',
    policy: authorization(SHOP, { selector: DESK, rules: [from(TILL)] }),
    refused: ['guest>desk', 'stranger>desk', 'stranger>desk:http'],
  },
  {
    says: 'ALLOW without rules: for nobody at all',
    policy: authorization(SHOP, {}),
    refused: EVERYTHING,
  },
  {
    says: 'in the root namespace: for the whole mesh',
    policy: authorization(MESH, { action: 'DENY', rules: [from(GUEST)] }),
    refused: ['guest>desk', 'guest>nook'],
  },
  {
    says: 'in the root namespace with a selector: for those that it selects, in every namespace',
    policy: authorization(MESH, { action: 'DENY', selector: DESK, rules: [from(GUEST)] }),
    refused: ['guest>desk'],
  },
  {
    says: 'STRICT for the mesh',
    policy: mutualTls(MESH, { mtls: { mode: 'STRICT' } }),
    refused: ['stranger>desk', 'stranger>desk:http', 'stranger>nook'],
  },
  {
    says: 'STRICT for a namespace',
    policy: mutualTls(SHOP, { mtls: { mode: 'STRICT' } }),
    refused: ['stranger>desk', 'stranger>desk:http', 'stranger>nook'],
  },
  {
    says: 'STRICT for a workload',
    policy: mutualTls(SHOP, { selector: DESK, mtls: { mode: 'STRICT' } }),
    refused: ['stranger>desk', 'stranger>desk:http'],
  },
  {
    says: 'STRICT for one port of a workload',
    policy: mutualTls(SHOP, { selector: DESK, portLevelMtls: { [ECHO]: { mode: 'STRICT' } } }),
    refused: ['stranger>desk'],
  },
  {
    says: 'STRICT for a workload but one port',
    policy: mutualTls(SHOP, {
      selector: DESK,
      mtls: { mode: 'STRICT' },
      portLevelMtls: { [HTTP]: { mode: 'PERMISSIVE' } },
    }),
    refused: ['stranger>desk'],
  },
  {
    says: 'DENY of an address that can not be read: of all of them',
    policy: authorization(SHOP, { action: 'DENY', rules: [from({ ipBlocks: ['10.244.0.0/33'] })] }),
    refused: EVERYTHING,
    status: /Cannot read source address "10\.244\.0\.0\/33": .* more restrictive/,
  },
  {
    says: 'ALLOW of an address that can not be read: of none',
    policy: authorization(SHOP, { rules: [from({ ipBlocks: ['10.244.0'] })] }),
    refused: EVERYTHING,
    status: /Cannot read source address "10\.244\.0": .* more restrictive/,
  },
  {
    says: 'ALLOW of what only HTTP shows: of nothing',
    policy: authorization(SHOP, { rules: [{ to: [{ operation: { methods: ['GET'] } }] }] }),
    refused: EVERYTHING,
    status: /does not support HTTP attributes \(found: methods\)\. .* more restrictive/,
  },
  {
    says: 'DENY of what only HTTP shows, from somebody: of all from there',
    policy: authorization(SHOP, {
      action: 'DENY',
      rules: [{ ...from(GUEST), to: [{ operation: { ports: [String(ECHO)], paths: ['/x'] } }] }],
    }),
    refused: ['guest>desk', 'guest>nook'],
    status: /\(found: paths\)\. DENY rules are enforced without the HTTP attributes/,
  },
  {
    says: 'DENY of nothing but what HTTP shows: of nothing, and its author is told',
    policy: authorization(SHOP, {
      action: 'DENY',
      rules: [{ to: [{ operation: { paths: ['/admin'] } }] }],
    }),
    refused: [],
    status: /no enforceable rules and no effect: use a waypoint and a targetRef/,
  },
];

export function thePolicies(on: () => Stage): void {
  for (const { says, policy, refused, status = /^attached to ztunnel$/ } of cases) {
    it(says, async () => {
      const stage = on();
      const { kubectl } = stage.mesh;
      await kubectl.must(['apply', '-f', '-'], JSON.stringify(policy));
      await untilServed(stage, refused);
      if (policy.kind === 'AuthorizationPolicy') {
        expect(await messageOf(stage, policy)).to.match(status);
      }
      await untilServed(stage, refused);
      await kubectl.must(['delete', '-f', '-'], JSON.stringify(policy));
      await untilServed(stage, []);
    });
  }

  it('with what they do not have are refused by name, and nobody is the wiser', async () => {
    const stage = on();
    const { kubectl } = stage.mesh;
    for (const [spec, complaint] of [
      [{ action: 'DENY', selektor: DESK, rules: [from(GUEST)] }, /selektor/],
      [{ action: 'FORBID', rules: [from(GUEST)] }, /action.*FORBID/],
      [{ action: 'DENY', rules: [from({ principals: 'guest' })] }, /principals/],
    ] as const) {
      const policy = JSON.stringify(authorization(SHOP, spec));
      expect(await kubectl.fails(['apply', '-f', '-'], policy)).to.match(complaint);
    }
    const { items } = await stage.mesh.client.list(AUTHORIZATION_POLICIES, {});
    expect(items).to.deep.equal([]);
  });

  it('leave the probes of the node alone, whatever is STRICT', async () => {
    const stage = on();
    const { mesh, desk } = stage;
    const policy = JSON.stringify(mutualTls(MESH, { mtls: { mode: 'STRICT' } }));
    await mesh.apply(policy);
    await untilServed(stage, ['stranger>desk', 'stranger>desk:http', 'stranger>nook']);
    const before = await probesOf(stage);
    await mesh.until('three more probes of each kind were answered', async () => {
      const now = await probesOf(stage);
      return (
        now.http >= before.http + 3 && now.tcp >= before.tcp + 3 && now.exec >= before.exec + 3
      );
    });
    const { status } = await mesh.pod(SHOP, desk.name);
    expect(status?.conditions?.find(({ type }) => type === 'Ready')).to.include({ status: 'True' });
    expect(status?.containerStatuses?.map(({ restartCount }) => restartCount)).to.deep.equal([
      0, 0,
    ]);
    await mesh.kubectl.must(['delete', '-f', '-'], policy);
    await untilServed(stage, []);
  });
}

/** How often each was asked, by its own account. */
async function probesOf({ mesh: { kubectl } }: Stage): Promise<{
  readonly http: number;
  readonly tcp: number;
  readonly exec: number;
}> {
  const echo = await kubectl.must(['logs', '-n', SHOP, 'desk', '-c', 'echo']);
  const exec = ['exec', '-n', SHOP, 'desk', '-c', 'side', '--', 'cat', PROBED];
  return {
    http: echo.split(`GET /ready from ${PROBE_SOURCE}`).length - 1,
    tcp: echo.split(`TCP connection from ${PROBE_SOURCE}`).length - 1,
    exec: (await kubectl.must(exec)).length,
  };
}

/** What the policy's author is told about it. */
async function messageOf({ mesh }: Stage, { metadata }: KubeObject): Promise<string> {
  let message: unknown;
  await mesh.until('the policy has a status', async () => {
    const { status } = await mesh.client.get(
      AUTHORIZATION_POLICIES,
      metadata.name,
      metadata.namespace,
    );
    const conditions = (status?.['conditions'] ?? []) as readonly Condition[];
    message = conditions.find(({ type }) => type === 'ZtunnelAccepted')?.message;
    return message !== undefined;
  });
  return String(message);
}

async function untilServed(stage: Stage, refused: readonly string[]): Promise<void> {
  const wanted: Calls = Object.fromEntries(
    EVERYTHING.map((call) => [call, !refused.includes(call)]),
  );
  let heard: Calls = {};
  await stage.mesh
    .until('the policy is in force', async () => {
      heard = Object.fromEntries(
        await Promise.all(EVERYTHING.map(async (call) => [call, await isServed(stage, call)])),
      ) as Calls;
      return EVERYTHING.every((call) => heard[call] === wanted[call]);
    })
    .catch(() => expect(heard).to.deep.equal(wanted));
}

async function isServed(stage: Stage, call: string): Promise<boolean> {
  const [, caller = '', called = '', port] = /^(\w+)>(\w+)(:http)?$/.exec(call) ?? [];
  const home = homeOf(stage, caller);
  const { ip } = homeOf(stage, called);
  if (port === undefined) return (await stage.mesh.knock(home, { ip, port: ECHO })) === 'served';
  return stage.mesh.isServedHttp(home, { ip, port: HTTP });
}

function homeOf(stage: Stage, name: string): Home {
  const home = [stage.till, stage.guest, stage.nook, stage.desk, stage.stranger].find(
    (one) => one.name === name,
  );
  if (home === undefined) throw new Error(`Nobody is called ${name}`);
  return home;
}

function from(source: object): { readonly from: readonly object[] } {
  return { from: [{ source }] };
}

function authorization(namespace: string, spec: object): KubeObject {
  return object('AuthorizationPolicy', namespace, spec);
}

function mutualTls(namespace: string, spec: object): KubeObject {
  return object('PeerAuthentication', namespace, spec);
}

function object(kind: string, namespace: string, spec: object): KubeObject {
  return { apiVersion: 'security.istio.io/v1', kind, metadata: { name: 'tried', namespace }, spec };
}
