// What a real API server finds wrong with objects, as it was seen to; and what becomes of services and pods.
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import type { Status } from '#playground/api-server/errors.ts';
import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';

const NAMESPACE = '/api/v1/namespaces/refusals';
const DEPLOYMENTS = '/apis/apps/v1/namespaces/refusals/deployments';

const pod = (spec: object) => ({
  metadata: { name: 'p' },
  spec: { serviceAccountName: 'runner', containers: [{ name: 'main', image: 'busybox' }], ...spec },
});
const service = (name: string, spec: object) => ({ metadata: { name }, spec });
const deployment = (spec: object) => ({
  metadata: { name: 'd' },
  spec: {
    selector: { matchLabels: { app: 'd' } },
    template: { metadata: { labels: { app: 'd' } }, spec: pod({}).spec },
    ...spec,
  },
});

interface Stored {
  readonly metadata: { readonly generation?: number };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status: Readonly<Record<string, unknown>>;
}

describe('the API server of the playground finds', () => {
  let server: TestApiServer;
  before(async () => {
    server = await startApiServer();
    await made('/api/v1/namespaces', { metadata: { name: 'refusals' } });
    await made(`${NAMESPACE}/serviceaccounts`, { metadata: { name: 'runner' } });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  async function made(path: string, body: object): Promise<Stored> {
    const answer = await server.ask(path, { method: 'POST', body });
    expect(answer.code, answer.text).to.equal(201);
    return answer.json() as Stored;
  }
  async function merged(path: string, body: object): Promise<Stored> {
    const headers = { 'content-type': 'application/merge-patch+json' };
    const answer = await server.ask(path, { method: 'PATCH', headers, body });
    expect(answer.code, answer.text).to.equal(200);
    return answer.json() as Stored;
  }
  /** The fields that are wrong with a new object, and how. */
  async function wrong(path: string, body: object): Promise<readonly string[]> {
    const answer = await server.ask(`${path}?dryRun=All`, { method: 'POST', body });
    expect(answer.code, answer.text).to.equal(422);
    const { details } = answer.json() as Status;
    return (details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
  }
  const wrongPod = (spec: object) => wrong(`${NAMESPACE}/pods`, pod(spec));
  const wrongService = (spec: object) => wrong(`${NAMESPACE}/services`, service('s', spec));
  const wrongDeployment = (spec: object) => wrong(DEPLOYMENTS, deployment(spec));

  describe('wrong with pods', () => {
    it('ports with a name that is none, or another port has', async () => {
      const ports = [
        { containerPort: 1, name: 'way-too-long-port-name' },
        { containerPort: 2, name: 'http' },
        { containerPort: 3, name: 'http' },
        { containerPort: 0 },
      ];
      const field = 'spec.containers[0].ports';
      const found = await wrongPod({ containers: [{ name: 'main', image: 'x', ports }] });
      expect(found).to.have.members([
        `${field}[0].name: Invalid value: "way-too-long-port-name": must be no more than 15 characters`,
        `${field}[2].name: Duplicate value: "http"`,
        `${field}[3].containerPort: Required value`,
      ]);
    });

    it('tolerations that tolerate nothing', async () => {
      const tolerations = [{ key: 'a', operator: 'Exists', value: 'x' }, { operator: 'Equal' }];
      expect(await wrongPod({ tolerations })).to.deep.equal([
        'spec.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is \'Exists\'',
        'spec.tolerations[1].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ]);
    });

    it('where it shall run and how it is called', async () => {
      expect((await wrongPod({ nodeName: 'A_B' })).join()).to.match(
        /^spec\.nodeName: Invalid value: "A_B": a lowercase RFC 1123 subdomain/,
      );
      expect((await wrongPod({ hostname: 'A_' })).join()).to.match(
        /^spec\.hostname: Invalid value: "A_": a lowercase RFC 1123 label/,
      );
      expect((await wrongPod({ nodeSelector: { 'a b': 'c' } })).join()).to.match(
        /^spec\.nodeSelector: Invalid value: "a b": name part must consist of/,
      );
    });

    it('a deadline that is none', async () => {
      expect(await wrongPod({ activeDeadlineSeconds: 0 })).to.deep.equal([
        'spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive',
      ]);
    });
  });

  describe('wrong with services', () => {
    const ports = [{ port: 80 }];

    it('what their type does not have', async () => {
      expect(await wrongService({ externalTrafficPolicy: 'Local', ports })).to.deep.equal([
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
      ]);
    });

    it('two families of addresses, where there is one', async () => {
      expect(await wrongService({ ipFamilyPolicy: 'RequireDualStack', ports })).to.deep.equal([
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
      ]);
    });

    it('a target port that cannot be the name of one, and a selector that selects nothing', async () => {
      const spec = { ports: [{ port: 80, targetPort: 'A_b' }], selector: { app: 'c d' } };
      const found = await wrongService(spec);
      expect(found).to.include(
        'spec.ports[0].targetPort: Invalid value: "A_b": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
      );
      expect(found.join()).to.contain('spec.selector: Invalid value: "c d": a valid label must be');
    });
  });

  describe('wrong with deployments', () => {
    it('ways to replace pods that replace none, or do not go together', async () => {
      const field = 'spec.strategy.rollingUpdate';
      const none = { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } };
      expect(await wrongDeployment(none)).to.deep.equal([
        `${field}.maxUnavailable: Invalid value: 0: may not be 0 when \`maxSurge\` is 0`,
      ]);
      const both = { strategy: { type: 'Recreate', rollingUpdate: { maxSurge: 1 } } };
      expect(await wrongDeployment(both)).to.deep.equal([
        `${field}: Forbidden: may not be specified when strategy \`type\` is 'Recreate'`,
      ]);
      const unreadable = { strategy: { rollingUpdate: { maxSurge: 'x%' } } };
      expect((await wrongDeployment(unreadable)).join()).to.contain(
        `${field}.maxSurge: Invalid value: "x%": a valid percent string must be`,
      );
    });

    it('a deadline before a pod counts as ready', async () => {
      const spec = { minReadySeconds: 100, progressDeadlineSeconds: 50 };
      expect(await wrongDeployment(spec)).to.deep.equal([
        'spec.progressDeadlineSeconds: Invalid value: 50: must be greater than minReadySeconds',
      ]);
    });

    it('selectors that cannot be read', async () => {
      const matchExpressions = [
        { key: 'a', operator: 'In' },
        { key: 'b', operator: 'Foo' },
      ];
      const found = await wrongDeployment({ selector: { matchExpressions } });
      expect(found.slice(0, 2)).to.deep.equal([
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        'spec.selector.matchExpressions[1].operator: Invalid value: "Foo": not a valid selector operator',
      ]);
    });
  });

  it('wrong what a key, a finalizer, an owner or a secret lacks', async () => {
    const maps = `${NAMESPACE}/configmaps`;
    const twice = {
      metadata: { name: 'm' },
      data: { '..': 'x', k: 'x' },
      binaryData: { k: 'AA==' },
    };
    expect(await wrong(maps, twice)).to.have.members([
      'data[..]: Invalid value: "..": must not be \'..\'',
      'data[k]: Invalid value: "k": duplicate of key present in binaryData',
    ]);
    expect(await wrong(maps, { metadata: { name: 'm', finalizers: ['nope'] } })).to.deep.equal([
      'metadata.finalizers[0]: Invalid value: "nope": name is neither a standard finalizer name nor is it fully qualified',
    ]);
    const ownerReferences = [{ name: 'x' }];
    expect(await wrong(maps, { metadata: { name: 'm', ownerReferences } })).to.deep.equal([
      'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
      'metadata.ownerReferences.kind: Invalid value: "": must not be empty',
      'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ]);
    const tls = { metadata: { name: 't' }, type: 'kubernetes.io/tls', data: { 'tls.crt': 'YQ==' } };
    expect(await wrong(`${NAMESPACE}/secrets`, tls)).to.deep.equal([
      'data[tls.key]: Required value',
    ]);
  });

  describe('right what becomes of', () => {
    const ADDRESS = ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'];

    it('a service whose address is left out: it keeps it', async () => {
      const first = await made(`${NAMESPACE}/services`, service('kept', { ports: [{ port: 80 }] }));
      const { spec } = await merged(`${NAMESPACE}/services/kept`, { spec: { clusterIP: '' } });
      expect(spec['clusterIP']).to.equal(first.spec['clusterIP']);
    });

    it('a service that becomes a name: it has no address any more', async () => {
      await made(`${NAMESPACE}/services`, service('named', { ports: [{ port: 80 }] }));
      const { spec } = await merged(`${NAMESPACE}/services/named`, {
        spec: { type: 'ExternalName', externalName: 'example.com' },
      });
      expect(spec).to.not.have.any.keys(...ADDRESS, 'internalTrafficPolicy');
    });

    it('a service that is no longer reached from outside', async () => {
      const outside = { type: 'NodePort', ports: [{ port: 80 }] };
      await made(`${NAMESPACE}/services`, service('inside', outside));
      const { spec } = await merged(`${NAMESPACE}/services/inside`, {
        spec: { type: 'ClusterIP' },
      });
      expect(spec).to.not.have.property('externalTrafficPolicy');
    });

    it('a service that would like two families of addresses: it gets one, and goes on liking', async () => {
      const liking = { ipFamilyPolicy: 'PreferDualStack', ports: [{ port: 80 }] };
      const { spec } = await made(`${NAMESPACE}/services`, service('liking', liking));
      expect(spec).to.deep.include({ ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv4'] });
    });

    it('a pod that is bound to a node: once, and it is not another pod by that', async () => {
      await made(`${NAMESPACE}/pods`, pod({}));
      const bind = (name: string) =>
        server.ask(`${NAMESPACE}/pods/p/binding`, {
          method: 'POST',
          body: { metadata: { name: 'p' }, target: { kind: 'Node', name } },
        });
      expect((await bind('one')).code).to.equal(201);
      const again = await bind('two');
      expect(again.code).to.equal(409);
      expect((again.json() as Status).message).to.equal(
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "one"',
      );
      const bound = (await server.ask(`${NAMESPACE}/pods/p`)).json() as Stored;
      expect(bound.spec['nodeName']).to.equal('one');
      expect(bound.metadata.generation).to.equal(1);
    });

    it('the address of a pod: it is the first of all', async () => {
      const { status } = await merged(`${NAMESPACE}/pods/p/status`, {
        status: { podIP: '10.0.0.1' },
      });
      expect(status['podIPs']).to.deep.equal([{ ip: '10.0.0.1' }]);
    });
  });
});
