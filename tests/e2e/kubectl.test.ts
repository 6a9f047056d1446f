import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';
import { Kubectl } from '#tests/bed/kubectl.ts';

/** A slow machine has its kubectl start for seconds. */
const SEEN_MS = 60_000;

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: till, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: till, namespace: shop}
spec:
  selector: {app: till}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: till, namespace: shop, labels: {app: till}}
spec:
  replicas: 2
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}}
    spec:
      serviceAccountName: till
      containers: [{name: main, image: ambit/echo}]
`;

const pod = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec:
  serviceAccountName: till
  containers: [{name: main, image: ambit/echo}]
`;

const configMap = (name: string, value: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}, namespace: shop}
data: {key: "${value}"}
`;

const wrong = (spec: string): string =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: wrong, namespace: shop}\nspec: ${spec}`;

const till = (drawers: string): string =>
  `apiVersion: shop.example.com/v1\nkind: Till\nmetadata: {name: big, namespace: shop}\nspec: {drawers: ${drawers}}`;

const applyAs = (manager: string): readonly string[] => [
  'apply',
  '--server-side',
  '--field-manager',
  manager,
  '-f',
  '-',
];

describe('kubectl against the API server of the playground', () => {
  let server: TestApiServer;
  let kubectl: Kubectl;
  before(async () => {
    server = await startApiServer();
    kubectl = new Kubectl({ kubeconfig: server.kubeconfig(), home: server.directory });
    await kubectl.must(['apply', '-f', '-'], shop);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  const apply = (value: string) => kubectl.must(['apply', '-f', '-'], configMap('applied', value));

  describe('reads', () => {
    it('columns as kubectl knows them, more with -o wide', async () => {
      const narrow = await kubectl.must(['get', 'deploy', '-n', 'shop']);
      expect(headOf(narrow)).to.deep.equal(['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'AGE']);
      const wide = await kubectl.must(['get', 'deploy', '-n', 'shop', '-o', 'wide']);
      expect(headOf(wide).slice(5)).to.deep.equal(['CONTAINERS', 'IMAGES', 'SELECTOR']);
      expect(wide).to.contain('ambit/echo').and.contain('app=till');
    });

    it('several kinds at once, by short names and by category', async () => {
      const several = await kubectl.must(['get', 'svc,sa', '-n', 'shop']);
      expect(several).to.contain('service/till').and.contain('serviceaccount/till');
      const all = await kubectl.must(['get', 'all', '-n', 'shop']);
      expect(all).to.contain('deployment.apps/till').and.contain('service/till');
    });

    it('objects as JSON and YAML, with what the server has filled in', async () => {
      const text = await kubectl.must(['get', 'svc', 'till', '-n', 'shop', '-o', 'json']);
      const service = JSON.parse(text) as { spec: { clusterIP: string; type: string } };
      expect(service.spec.type).to.equal('ClusterIP');
      expect(service.spec.clusterIP).to.match(/^10\.96\./);
      const yaml = await kubectl.must(['get', 'deploy', 'till', '-n', 'shop', '-o', 'yaml']);
      expect(yaml).to.contain('progressDeadlineSeconds: 600');
    });

    it('what selectors select', async () => {
      await kubectl.must(['apply', '-f', '-'], pod('one'));
      await kubectl.must(['apply', '-f', '-'], pod('two'));
      const names = (...args: string[]) =>
        kubectl.must(['get', 'pods', '-A', '-o', 'name', ...args]);
      expect(await names('-l', 'app in (one,three)')).to.equal('pod/one');
      expect(await names('-l', 'app!=one,app')).to.equal('pod/two');
      expect(await names('--field-selector', 'metadata.name=two,spec.nodeName=')).to.equal(
        'pod/two',
      );
      expect(await kubectl.fails(['get', 'pods', '--field-selector', 'spec.nothing=1'])).to.contain(
        'field label not supported: spec.nothing',
      );
    });

    it('descriptions', async () => {
      await kubectl.must(['apply', '-f', '-'], pod('told'));
      const text = await kubectl.must(['describe', 'pod', 'told', '-n', 'shop']);
      expect(text).to.match(/Image: +ambit\/echo/);
      expect(text).to.contain(
        '/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-',
      );
    });

    it('explanations of fields', async () => {
      const text = await kubectl.must(['explain', 'deployment.spec.strategy.rollingUpdate']);
      expect(text).to.contain('maxSurge').and.contain('maxUnavailable');
    });

    it('rows that change, with -w', async () => {
      const watching = kubectl.start(['get', 'configmaps', '-n', 'shop', '-w', '-o', 'name']);
      try {
        await kubectl.must(['apply', '-f', '-'], configMap('watched', '1'));
        await watching.waitFor(/^configmap\/watched$/, SEEN_MS);
        const heard = watching.lines.length;
        await kubectl.must(['label', 'configmap', 'watched', '-n', 'shop', 'seen=yes']);
        await watching.waitFor(/^configmap\/watched$/, SEEN_MS, heard);
      } finally {
        await watching.stop();
      }
    });
  });

  describe('writes', () => {
    it('what has changed, with apply, and says what it did', async () => {
      expect(await apply('1')).to.equal('configmap/applied created');
      expect(await apply('1')).to.equal('configmap/applied unchanged');
      expect(await apply('2')).to.equal('configmap/applied configured');
    });

    it('the fields of one manager, with server-side apply, and names the other in a conflict', async () => {
      await kubectl.must(applyAs('alice'), configMap('shared', '1'));
      const other = configMap('shared', '2');
      expect(await kubectl.fails(applyAs('bob'), other)).to.contain(
        'conflict with "alice": .data.key',
      );
      await kubectl.must([...applyAs('bob'), '--force-conflicts'], other);
      const value = ['get', 'cm', 'shared', '-n', 'shop', '-o', 'jsonpath={.data.key}'];
      expect(await kubectl.must(value)).to.equal('2');
    });

    it('nothing, with a dry run of the server', async () => {
      const dry = ['apply', '--dry-run=server', '-f', '-'];
      expect(await kubectl.must(dry, configMap('dry', '1'))).to.contain('created (server dry run)');
      expect(await kubectl.fails(['get', 'cm', 'dry', '-n', 'shop'])).to.equal(
        'Error from server (NotFound): configmaps "dry" not found',
      );
    });

    it('labels and annotations', async () => {
      await kubectl.must(['apply', '-f', '-'], configMap('marked', '1'));
      const marked = ['cm', 'marked', '-n', 'shop'];
      await kubectl.must(['label', ...marked, 'a=b']);
      await kubectl.must(['annotate', ...marked, 'note=hello world']);
      expect(await kubectl.fails(['label', ...marked, 'a=c'])).to.contain('--overwrite is false');
      await kubectl.must(['label', ...marked, 'a-']);
      expect(await kubectl.must(['get', 'cm', '-n', 'shop', '-l', 'a', '-o', 'name'])).to.equal('');
      const note = ['get', ...marked, '-o', 'jsonpath={.metadata.annotations.note}'];
      expect(await kubectl.must(note)).to.equal('hello world');
    });

    it('replicas, by the scale subresource', async () => {
      await kubectl.must(['scale', 'deploy', 'till', '-n', 'shop', '--replicas=5']);
      const replicas = ['get', 'deploy', 'till', '-n', 'shop', '-o', 'jsonpath={.spec.replicas}'];
      expect(await kubectl.must(replicas)).to.equal('5');
    });

    it('patches of all three kinds', async () => {
      const patch = (type: string, text: string) =>
        kubectl.must(['patch', 'deploy', 'till', '-n', 'shop', '--type', type, '-p', text]);
      await patch(
        'strategic',
        '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}',
      );
      await patch('merge', '{"metadata":{"annotations":{"by":"merge"}}}');
      await patch(
        'json',
        '[{"op":"test","path":"/metadata/annotations/by","value":"merge"},{"op":"add","path":"/spec/minReadySeconds","value":3}]',
      );
      const spec = await kubectl.must([
        'get',
        'deploy',
        'till',
        '-n',
        'shop',
        '-o',
        'jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].value} {.spec.minReadySeconds}',
      ]);
      expect(spec).to.equal('ambit/echo 1 3');
    });

    it('what its create commands make, in whatever encoding they choose', async () => {
      const create = (...args: string[]) => kubectl.must(['create', ...args]);
      await create('namespace', 'made');
      await create('deployment', 'd', '--image=ambit/echo', '-n', 'made');
      await create('configmap', 'c', '--from-literal=a=b', '-n', 'made');
      await create('secret', 'generic', 's', '--from-literal=a=b', '-n', 'made');
      await create('service', 'clusterip', 'd', '--tcp=80:8080', '-n', 'made');
      await create('role', 'r', '--verb=get', '--resource=pods', '-n', 'made');
      await create('rolebinding', 'r', '--role=r', '--user=bob', '-n', 'made');
      const path = 'jsonpath={.data.a}';
      expect(await kubectl.must(['get', 'cm', 'c', '-n', 'made', '-o', path])).to.equal('b');
      expect(await kubectl.must(['get', 'secret', 's', '-n', 'made', '-o', path])).to.equal('Yg==');
      const image = 'jsonpath={.spec.template.spec.containers[0].image} {.spec.replicas}';
      expect(await kubectl.must(['get', 'deploy', 'd', '-n', 'made', '-o', image])).to.equal(
        'ambit/echo 1',
      );
      expect(
        await kubectl.must(['auth', 'can-i', 'get', 'pods', '-n', 'made', '--as', 'bob']),
      ).to.equal('yes');
    });

    it('deletions, and waits until the object is gone', async () => {
      await kubectl.must(['apply', '-f', '-'], configMap('held', '1'));
      const held = ['cm', 'held', '-n', 'shop'];
      const patch = (finalizers: string) =>
        kubectl.must([
          'patch',
          ...held,
          '--type=merge',
          '-p',
          `{"metadata":{"finalizers":${finalizers}}}`,
        ]);
      await patch('["example.com/hold"]');
      const deleting = kubectl.start(['delete', ...held]);
      await deleting.waitFor(/"held" deleted/, SEEN_MS);
      const time = await kubectl.must([
        'get',
        ...held,
        '-o',
        'jsonpath={.metadata.deletionTimestamp}',
      ]);
      expect(time).to.match(/^\d{4}-/);
      expect(deleting.running).to.equal(true);
      await patch('null');
      expect((await deleting.exited).code).to.equal(0);
    });
  });

  describe('follows a deployment', () => {
    it('through a restart, by rollout status, and by its conditions', async () => {
      const path = '/apis/apps/v1/namespaces/shop/deployments/till';
      await kubectl.must(['rollout', 'restart', 'deploy/till', '-n', 'shop']);
      const status = kubectl.start(['rollout', 'status', 'deploy/till', '-n', 'shop']);
      const available = ['wait', '--for=condition=Available', 'deploy/till', '-n', 'shop'];
      const waiting = kubectl.start([...available, '--timeout=60s']);
      try {
        await status.waitFor(/^Waiting for deployment/, SEEN_MS);
        // What the controller would say.
        const found = await server.ask(path);
        const { metadata, spec } = found.json() as {
          metadata: { generation: number };
          spec: { replicas: number };
        };
        const { replicas } = spec;
        const body = {
          status: {
            observedGeneration: metadata.generation,
            replicas,
            updatedReplicas: replicas,
            readyReplicas: replicas,
            availableReplicas: replicas,
            conditions: [{ type: 'Available', status: 'True' }],
          },
        };
        const headers = { 'content-type': 'application/merge-patch+json' };
        const text = JSON.stringify(body);
        await server.ask(`${path}/status`, { method: 'PATCH', headers, body: text });
        await status.waitFor(/^deployment "till" successfully rolled out$/, SEEN_MS);
        expect((await waiting.exited).code).to.equal(0);
      } finally {
        await status.stop();
        await waiting.stop();
      }
    });
  });

  describe('is told what is wrong', () => {
    const cases: readonly [string, readonly string[], string, RegExp][] = [
      [
        'an unknown field',
        ['apply', '-f', '-'],
        wrong('{replicass: 2, selector: {}, template: {}}'),
        /unknown field "(spec\.)?replicass"/,
      ],
      [
        'a selector that its own pods do not match',
        ['apply', '-f', '-'],
        wrong(
          '{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: x, image: ambit/echo}]}}}',
        ),
        /The Deployment "wrong" is invalid: spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/,
      ],
      [
        'a name that cannot be one',
        ['create', '-f', '-'],
        configMap('Not_a_name', '1'),
        /The ConfigMap "Not_a_name" is invalid: metadata\.name: Invalid value: "Not_a_name": a lowercase RFC 1123 subdomain must consist of/,
      ],
      [
        'an unknown kind',
        ['apply', '-f', '-'],
        'apiVersion: no.such/v1\nkind: Thing\nmetadata: {name: x}',
        /no matches for kind "Thing" in version "no\.such\/v1"/,
      ],
      [
        'a namespace that is not there',
        ['create', '-f', '-'],
        configMap('x', '1').replace('shop', 'nowhere'),
        /Error from server \(NotFound\): .*namespaces "nowhere" not found/,
      ],
    ];
    for (const [what, args, input, complaint] of cases) {
      it(what, async () => {
        expect(await kubectl.fails(args, input)).to.match(complaint);
      });
    }

    it('a name that is taken', async () => {
      await kubectl.must(['create', '-f', '-'], configMap('taken', '1'));
      expect(await kubectl.fails(['create', '-f', '-'], configMap('taken', '2'))).to.contain(
        'Error from server (AlreadyExists): error when creating "STDIN": configmaps "taken" already exists',
      );
    });

    it('a version that is no longer the current one', async () => {
      await kubectl.must(['create', '-f', '-'], configMap('raced', '1'));
      const old = await kubectl.must(['get', 'cm', 'raced', '-n', 'shop', '-o', 'yaml']);
      await kubectl.must(['apply', '-f', '-'], configMap('raced', '2'));
      expect(await kubectl.fails(['replace', '-f', '-'], old)).to.contain(
        'Operation cannot be fulfilled on configmaps "raced": the object has been modified; please apply your changes to the latest version and try again',
      );
    });

    it('what its user may not do', async () => {
      const bob = new Kubectl({
        kubeconfig: server.kubeconfig(server.user('bob', 'dev')),
        home: server.directory,
      });
      expect(await bob.fails(['get', 'secrets', '-n', 'shop'])).to.equal(
        'Error from server (Forbidden): secrets is forbidden: User "bob" cannot list resource "secrets" in API group "" in the namespace "shop"',
      );
      await kubectl.must([
        'create',
        'rolebinding',
        'bob',
        '--clusterrole=view',
        '--user=bob',
        '-n',
        'shop',
      ]);
      expect(await bob.must(['get', 'pods', '-n', 'shop', '-o', 'name'])).to.contain('pod/');
      expect(await bob.fails(['get', 'secrets', '-n', 'shop'])).to.contain('(Forbidden)');
      expect(await bob.fails(['delete', 'deploy', 'till', '-n', 'shop'])).to.contain(
        'cannot delete',
      );
    });
  });

  describe('knows custom resources', () => {
    const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tills.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: tills, singular: till, kind: Till, shortNames: [tl]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.drawers, statusReplicasPath: .status.drawers}}
    additionalPrinterColumns: [{name: Drawers, type: integer, jsonPath: .spec.drawers}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [drawers]
            properties:
              drawers: {type: integer, minimum: 1, description: How many drawers there are}
          status: {type: object, properties: {drawers: {type: integer}}}
`;
    before(async () => {
      await kubectl.must(['apply', '-f', '-'], definition);
      const established = ['wait', '--for=condition=Established', 'crd/tills.shop.example.com'];
      await kubectl.must([...established, '--timeout=60s']);
      // Older versions of kubectl keep what they know of the API for ten minutes.
      await kubectl.must(['api-resources', '--cached=false']);
    });

    it('in the list of resources, with their columns and their fields', async () => {
      expect(await kubectl.must(['api-resources', '--api-group=shop.example.com'])).to.match(
        /^tills +tl +shop\.example\.com\/v1 +true +Till$/m,
      );
      await kubectl.must(['apply', '-f', '-'], till('3'));
      const shown = await kubectl.must(['get', 'tl', '-n', 'shop']);
      expect(headOf(shown)).to.deep.equal(['NAME', 'DRAWERS']);
      expect(shown).to.match(/^big +3$/m);
      expect(await kubectl.must(['explain', 'tills.spec.drawers'])).to.contain(
        'How many drawers there are',
      );
    });

    it('that can be scaled where their definition says so', async () => {
      await kubectl.must(['apply', '-f', '-'], till('3'));
      await kubectl.must(['scale', 'tills/big', '-n', 'shop', '--replicas=4']);
      const drawers = ['get', 'tills', 'big', '-n', 'shop', '-o', 'jsonpath={.spec.drawers}'];
      expect(await kubectl.must(drawers)).to.equal('4');
    });

    it('and what is wrong with one', async () => {
      expect(await kubectl.fails(['apply', '--validate=false', '-f', '-'], till('0'))).to.contain(
        'spec.drawers: Invalid value: 0: spec.drawers in body should be greater than or equal to 1',
      );
    });
  });
});

/** The words of a table's first line. */
function headOf(table: string): readonly string[] {
  return (table.split('\n', 1)[0] ?? '').split(/ +/).filter((word) => word !== '');
}
