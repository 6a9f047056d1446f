import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { it } from 'mocha';

import type { Caller } from '../support/caller.ts';
import { SHOP, type Stage, untilLogged } from './stage.ts';

const POLICIES = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: ${SHOP}}
spec:
  targetRefs: [{group: '', kind: Service, name: peer}]
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/${SHOP}/sa/guest]}}]
      to: [{operation: {methods: [GET, DELETE]}}]
    - from: [{source: {principals: [cluster.local/ns/${SHOP}/sa/till]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guests-delete-nothing, namespace: ${SHOP}}
spec:
  targetRefs: [{group: '', kind: Service, name: peer}]
  action: DENY
  rules:
    - from: [{source: {principals: [cluster.local/ns/${SHOP}/sa/guest]}}]
      to: [{operation: {methods: [DELETE]}}]
`;

const DENIED = 'RBAC: access denied';

export function thePolicies(on: () => Stage): void {
  it('may do what policies allow to them by name, and are told when they may not', async () => {
    const stage = on();
    const { mesh, till, guest } = stage;
    await mesh.apply(POLICIES);
    await mesh.until('the guest may not delete', async () => {
      return (await ask(guest, 'DELETE'))[0] === '403';
    });
    expect(await ask(guest, 'DELETE')).to.deep.equal(['403', DENIED]);
    await mesh.until('the guest may not post', async () => (await ask(guest, 'POST'))[0] === '403');
    expect(await ask(guest, 'POST')).to.deep.equal(['403', DENIED]);
    expect((await ask(guest, 'GET'))[0]).to.equal('200');
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect((await ask(till, method))[0], method).to.equal('200');
    }
    const call = { target: 'peer:82', method: 'Say', texts: ['x'] } as const;
    const refused = await guest.do('grpcCall', call);
    expect(refused).to.deep.include({ code: status.PERMISSION_DENIED, details: DENIED, texts: [] });
    expect((await till.do('grpcCall', call)).code).to.equal(status.OK);
    const policies = ['authorizationpolicy', 'readers', 'guests-delete-nothing'];
    const accepted = ['--for=condition=WaypointAccepted', '--timeout=60s'];
    await mesh.kubectl.must(['wait', '-n', SHOP, ...policies, ...accepted]);
    const identity = `src.identity="spiffe://cluster.local/ns/${SHOP}/sa/guest"`;
    const deny = `policy="${SHOP}/guests-delete-nothing, rule 0"`;
    await untilLogged(stage, identity, 'path="/judged?DELETE"', 'status=403', deny);
    await untilLogged(stage, identity, 'path="/judged?POST"', 'status=403', 'rbac_access_denied');
    await mesh.kubectl.must([
      'delete',
      'authorizationpolicy',
      '-n',
      SHOP,
      'readers',
      'guests-delete-nothing',
    ]);
    await mesh.until('the guest may do everything again', async () => {
      const heard = [await ask(guest, 'DELETE'), await ask(guest, 'POST')];
      return heard.every(([code]) => code === '200');
    });
  });
}

/** Status and body of an answer. */
async function ask(who: Caller, method: string): Promise<readonly [string, string]> {
  const asked = ['-X', method, '-w', ' %{http_code}', `http://peer/judged?${method}`];
  const heard = await who.curl(...asked);
  return [heard.slice(-3), heard.slice(0, -4)];
}
