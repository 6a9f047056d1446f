// What a real API server answers to odd requests, as it was seen to: the texts reach people through kubectl.
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import type { Status } from '#playground/api-server/errors.ts';
import { type Answered, startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';

const NAMESPACE = '/api/v1/namespaces/answers';
const MAPS = `${NAMESPACE}/configmaps`;

const PATCHES = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

const map = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  ...more,
});

const unreadable = (what: string, into: string): string =>
  `json: cannot unmarshal ${what} into Go value of type ${into}`;

describe('the API server of the playground answers', () => {
  let server: TestApiServer;
  before(async () => {
    server = await startApiServer();
    await made('/api/v1/namespaces', { metadata: { name: 'answers' } });
    await made(MAPS, map('there', { data: { a: '1' } }));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  const post = (path: string, body: object) => server.ask(path, { method: 'POST', body });
  const put = (path: string, body: object) => server.ask(path, { method: 'PUT', body });
  const remove = (path: string, body: object = {}) => server.ask(path, { method: 'DELETE', body });
  const patch = (type: keyof typeof PATCHES, path: string, body: object) => {
    const headers = { 'content-type': PATCHES[type] };
    return server.ask(path, { method: 'PATCH', headers, body });
  };
  const apply = (path: string, body: object) =>
    patch('apply', `${path}?fieldManager=m&fieldValidation=Ignore`, body);
  async function made(path: string, body: object): Promise<Record<string, unknown>> {
    const answer = await post(path, body);
    expect(answer.code, answer.text).to.equal(201);
    return answer.json() as Record<string, unknown>;
  }

  describe('to reading', () => {
    it('a selector that it cannot serve, with what it can', async () => {
      await refused(server.ask(`${MAPS}?fieldSelector=data.x=1`), 400, {
        reason: 'BadRequest',
        message:
          '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
      });
      await refused(server.ask(`${NAMESPACE}/pods?fieldSelector=spec.foo=1`), 400, {
        message: 'field label not supported: spec.foo',
      });
      await refused(server.ask(`${MAPS}?fieldSelector=abc`), 400, {
        message: "invalid selector: 'abc'; can't understand 'abc'",
      });
    });

    it('a version that is none, or has not been reached', async () => {
      await refused(server.ask(`${MAPS}?resourceVersion=abc`), 400, {
        message:
          'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
      });
      const far = await server.ask(`${MAPS}/there?resourceVersion=99999999999999`);
      await refused(far, 504, { reason: 'Timeout' });
      expect((far.json() as Status).message).to.match(
        /^Timeout: Too large resource version: 99999999999999, current: \d+$/,
      );
    });

    it('what only a watch may ask for, and what a watch may not', async () => {
      const options = 'ListOptions.meta.k8s.io "" is invalid';
      await refused(server.ask(`${MAPS}?sendInitialEvents=true`), 422, {
        reason: 'Invalid',
        message: `${options}: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list`,
      });
      await refused(server.ask(`${MAPS}?watch=true&sendInitialEvents=true`), 422, {
        message: `${options}: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`,
      });
      await refused(server.ask(`${MAPS}?watch=true&resourceVersionMatch=NotOlderThan`), 422, {
        message: `${options}: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided`,
      });
      await refused(server.ask(`${MAPS}?resourceVersionMatch=Foo&resourceVersion=1`), 422, {
        message: `${options}: resourceVersionMatch: Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""`,
      });
    });

    it('a watch from a version that is none', async () => {
      const answer = await server.ask(`${MAPS}?watch=true&resourceVersion=abc`);
      expect(answer.code).to.be.at.least(400);
      expect((answer.json() as Status).message).to.contain('resourceVersion: Invalid value: "abc"');
    });
  });

  describe('to writing', () => {
    it('what is for one object to a collection, and the other way round: 405', async () => {
      const notAllowed = { reason: 'MethodNotAllowed' };
      await refused(put(MAPS, map('there')), 405, notAllowed);
      await refused(patch('merge', MAPS, {}), 405, notAllowed);
      await refused(post('/api/v1/configmaps', map('there')), 405, notAllowed);
    });

    it('a name that is not said', async () => {
      await refused(put(`${MAPS}/there`, { data: {} }), 400, {
        message:
          'the name of the object (there based on URL) was undeterminable: name must be provided',
      });
    });

    it('a version of what is to be created', async () => {
      await refused(post(MAPS, { metadata: { name: 'new', resourceVersion: '5' } }), 500, {
        message: 'resourceVersion should not be set on objects to be created',
      });
    });

    it('a dry run with an object that has no version', async () => {
      const answer = await post(`${MAPS}?dryRun=All`, map('dry'));
      expect(answer.code).to.equal(201);
      const { metadata } = answer.json() as { metadata: object };
      expect(metadata).to.include.keys('uid').and.not.have.property('resourceVersion');
    });

    it('preconditions of a deletion that do not hold', async () => {
      const uid = await remove(`${MAPS}/there`, { preconditions: { uid: 'x' } });
      await refused(uid, 409, { reason: 'Conflict' });
      expect((uid.json() as Status).message).to.match(
        /^Operation cannot be fulfilled on ConfigMap "there": the UID in the precondition \(x\) does not match the UID in record \([\da-f-]+\)\. The object might have been deleted and then recreated$/,
      );
      const version = await remove(`${MAPS}/there`, { preconditions: { resourceVersion: '1' } });
      expect((version.json() as Status).message).to.match(
        /the ResourceVersion in the precondition \(1\) does not match the ResourceVersion in record \(\d+\)\. The object might have been modified$/,
      );
    });
  });

  describe('to patches', () => {
    it('one that cannot be read', async () => {
      await refused(patch('merge', `${MAPS}/there`, []), 400, {
        message: `error decoding patch: ${unreadable('array', 'map[string]interface {}')}`,
      });
      await refused(patch('strategic', `${MAPS}/there`, []), 400, {
        message: unreadable('array', 'map[string]interface {}'),
      });
      await refused(patch('json', `${MAPS}/there`, { a: 1 }), 400, {
        message: `error decoding patch: ${unreadable('object', '[]handlers.jsonPatchOp')}`,
      });
    });

    it('a JSON patch that does not apply', async () => {
      const message = 'the server rejected our request due to an error in our request';
      const wrong = { reason: 'Invalid', message, details: {} };
      for (const operation of [
        { op: 'test', path: '/data/a', value: '2' },
        { op: 'remove', path: '/nope' },
        { op: 'foo', path: '/data' },
      ]) {
        await refused(patch('json', `${MAPS}/there`, [operation]), 422, wrong);
      }
    });

    it('one that makes of the object what it cannot be: 422 for the patch', async () => {
      for (const body of [{ data: { a: 1 } }, { kind: 'Secret' }]) {
        const answer = await patch('merge', `${MAPS}/there`, body);
        expect(answer.code).to.equal(422);
        const { message, details } = answer.json() as Status;
        expect(message).to.match(/^ "" is invalid: patch: Invalid value: "{/);
        expect(details?.causes?.map(({ field }) => field)).to.deep.equal(['patch']);
      }
    });

    it('another identity', async () => {
      await refused(patch('merge', `${MAPS}/there`, { metadata: { uid: 'x' } }), 422, {
        message:
          'ConfigMap "there" is invalid: metadata.uid: Invalid value: "x": field is immutable',
      });
    });

    it('an apply of fields that nobody knows, however lenient it is asked to be', async () => {
      await refused(apply(`${MAPS}/new`, map('new', { foo: 1 })), 500, {
        message:
          'failed to create typed patch object (/new; /v1, Kind=ConfigMap): .foo: field not declared in schema',
      });
      const template = { spec: { containers: [{ name: 'main', image: 'x', imag: 'y' }] } };
      const identity = { apiVersion: 'apps/v1', kind: 'Deployment' };
      const deployment = { ...identity, metadata: { name: 'd', namespace: 'answers' } };
      const path = '/apis/apps/v1/namespaces/answers/deployments/d';
      await refused(apply(path, { ...deployment, spec: { template } }), 500, {
        message:
          'failed to create typed patch object (answers/d; apps/v1, Kind=Deployment): .spec.template.spec.containers[name="main"].imag: field not declared in schema',
      });
    });

    it('an apply of two items with one key, and of nothing known', async () => {
      const ports = [80, 80].map((port, index) => ({ name: `p${index}`, port }));
      const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' } };
      const path = `${NAMESPACE}/services/s?fieldManager=m`;
      await refused(patch('apply', path, { ...service, spec: { ports } }), 500, {
        message:
          'failed to create typed patch object (/s; /v1, Kind=Service): .spec.ports: duplicate entries for key [port=80,protocol="TCP"]',
      });
      await refused(
        patch('apply', `${MAPS}/new?fieldManager=m`, { metadata: { name: 'new' } }),
        400,
        {
          message: 'invalid object type: /, Kind=',
        },
      );
    });

    it('force, which is for applies, and an apply without a manager', async () => {
      const options = 'PatchOptions.meta.k8s.io "" is invalid';
      await refused(patch('merge', `${MAPS}/there?force=true`, {}), 422, {
        message: `${options}: force: Forbidden: may not be specified for non-apply patch`,
      });
      await refused(patch('apply', `${MAPS}/there`, map('there')), 422, {
        message: `${options}: fieldManager: Required value: is required for apply patch`,
      });
    });
  });
});

/** Checks the code of a refusal, and of its status what is given. */
async function refused(
  asked: Answered | Promise<Answered>,
  code: number,
  status: Partial<Status>,
): Promise<void> {
  const answer = await asked;
  expect(answer.code, answer.text).to.equal(code);
  expect(answer.json()).to.deep.include({ kind: 'Status', code, ...status });
}
