import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { JsonObject } from '#playground/api-server/json.ts';
import { objectsAt } from '#playground/api-server/json.ts';
import type { Store } from '#playground/api-server/store.ts';
import { asTester, builtin, refusal, shopStore } from '#tests/support/api-store.ts';

const HTTP = { name: 'http', port: 80 };
const ADMIN = { name: 'admin', port: 81 };

function create(store: Store, name: string, spec: JsonObject): JsonObject {
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec };
  return store.create(builtin(store, 'services'), 'shop', object, asTester);
}

function merge(store: Store, name: string, spec: JsonObject): JsonObject {
  const patch = { type: 'merge', body: { spec } } as const;
  const options = { ...asTester, subresource: undefined, force: false };
  return store.patch(builtin(store, 'services'), { namespace: 'shop', name }, patch, options)
    .object;
}

function nodePorts(service: JsonObject): readonly unknown[] {
  return objectsAt(service['spec'], 'ports').map((port) => port['nodePort']);
}

describe('NodePorts', () => {
  it('gives a port to every port of a NodePort service, and of no other', () => {
    const store = shopStore();
    const given = nodePorts(create(store, 'a', { type: 'NodePort', ports: [HTTP, ADMIN] }));
    expect(new Set(given).size).to.equal(2);
    for (const port of given) expect(port).to.be.within(30_000, 32_767);
    expect(nodePorts(create(store, 'b', { ports: [HTTP] }))).to.deep.equal([undefined]);
    expect(nodePorts(create(store, 'c', { type: 'LoadBalancer', ports: [HTTP] }))).to.not.include(
      undefined,
    );
  });

  it('refuses a port that is taken or out of range, and one that the type does not have', () => {
    const store = shopStore();
    const ports = [{ ...HTTP, nodePort: 30_080 }];
    create(store, 'a', { type: 'NodePort', ports });
    const why = (spec: JsonObject): string => refusal(() => create(store, 'b', spec)).message ?? '';
    expect(why({ type: 'NodePort', ports })).to.equal(
      'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated',
    );
    expect(why({ type: 'NodePort', ports: [{ ...HTTP, nodePort: 80 }] })).to.include(
      'The range of valid ports is 30000-32767',
    );
    expect(why({ ports })).to.include(
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    );
    store.delete(builtin(store, 'services'), { namespace: 'shop', name: 'a' }, asTester);
    expect(nodePorts(create(store, 'b', { type: 'NodePort', ports }))).to.deep.equal([30_080]);
  });

  it('keeps the port of a changed service, and takes it away with its type', () => {
    const store = shopStore();
    const [given] = nodePorts(create(store, 'a', { type: 'NodePort', ports: [HTTP] }));
    const changed = merge(store, 'a', { ports: [ADMIN, HTTP] });
    expect(nodePorts(changed)[1]).to.equal(given);
    expect(nodePorts(changed)[0]).to.not.equal(given);
    expect(nodePorts(merge(store, 'a', { type: 'ClusterIP' }))).to.deep.equal([
      undefined,
      undefined,
    ]);
  });
});
