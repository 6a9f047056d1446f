import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { it } from 'mocha';

import { SHOP, type Stage, untilLogged } from './stage.ts';

const TARGET = 'peer:82';
const CALLS = 200;

const ROUTE = `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls, namespace: ${SHOP}}
spec:
  parentRefs: [{group: '', kind: Service, name: peer, port: 82}]
  rules:
    - matches: [{method: {service: ambit.test.Peer, method: Say}, headers: [{name: x-user, value: ann}]}]
      backendRefs: [{name: peer-v2, port: 82}]
    - matches: [{method: {service: ambit.test.Peer, method: Say}}]
      backendRefs:
        - {name: peer, port: 82, weight: 80}
        - {name: peer-v2, port: 82, weight: 20}
    - matches: [{method: {service: ambit.test.Peer}}]
      backendRefs: [{name: peer, port: 82}]
`;

export function theGrpc(on: () => Stage): void {
  it('call, with metadata both ways', async () => {
    const seen = await on().till.do('grpcCall', {
      target: TARGET,
      method: 'Say',
      texts: ['hello'],
      metadata: { 'x-user': 'bob' },
    });
    expect(seen).to.deep.include({ code: status.OK, texts: ['v1: hello'] });
    expect(seen.metadata).to.include({ 'x-user': 'bob' });
    expect(seen.trailers).to.include({ 'x-user': 'bob' });
  });

  it('stream to the server, from it, and both ways by turns', async () => {
    const { till } = on();
    const words = Array.from({ length: 50 }, (_, at) => `word-${at}`);
    const collected = await till.do('grpcCall', {
      target: TARGET,
      method: 'Collect',
      texts: words,
    });
    expect(collected).to.deep.include({ code: status.OK, texts: [words.join(' ')] });
    const counted = await till.do('grpcCall', { target: TARGET, method: 'Count', texts: ['500'] });
    expect(counted.code).to.equal(status.OK);
    expect(counted.texts).to.deep.equal(Array.from({ length: 500 }, (_, at) => String(at)));
    expect(counted.trailers).to.include({ 'x-count': '500' });
    const talked = await till.do('grpcTalk', { target: TARGET, texts: words });
    expect(talked.code).to.equal(status.OK);
    expect(talked.texts).to.deep.equal(words.map((word) => `v1: ${word}`));
  });

  it('hear of failures in trailers, of deadlines, and of methods that are not there', async () => {
    const { till } = on();
    const refused = await till.do('grpcCall', {
      target: TARGET,
      method: 'Refuse',
      texts: ['NOT_FOUND There is none: "ä" & 100 %'],
    });
    const told = { code: status.NOT_FOUND, details: 'There is none: "ä" & 100 %', texts: [] };
    expect(refused).to.deep.include(told);
    await untilLogged(on(), 'path="/ambit.test.Peer/Refuse"', 'grpc_status="5"');
    const late = await till.do('grpcCall', {
      target: TARGET,
      method: 'Hang',
      texts: ['please'],
      deadlineMs: 500,
    });
    expect(late).to.deep.include({ code: status.DEADLINE_EXCEEDED, texts: ['hanging'] });
  });

  it('cancel, and the server hears of it', async () => {
    const seen = await on().till.do('grpcCancel', { target: TARGET });
    expect(seen).to.include({ code: status.CANCELLED, hungAfter: '0' });
    expect(Number(seen.hungBefore)).to.be.at.least(1);
  });

  it('are routed by method and header, and by weight', async () => {
    const { mesh, till } = on();
    await mesh.apply(ROUTE);
    const say = async (user: string): Promise<string> => {
      const metadata = { 'x-user': user };
      const call = { target: TARGET, method: 'Say', texts: ['x'], metadata } as const;
      const seen = await till.do('grpcCall', call);
      expect(seen.code).to.equal(status.OK);
      return seen.texts.join();
    };
    const say8 = (user: string): Promise<string[]> =>
      Promise.all(Array.from({ length: 8 }, async () => say(user)));
    await mesh.until('ann is served by v2 alone', async () =>
      (await say8('ann')).every((text) => text === 'v2: x'),
    );
    const served = await Promise.all(Array.from({ length: CALLS }, async () => say('bob')));
    const second = served.filter((text) => text === 'v2: x').length;
    // 40 are expected; outside of these bounds it is once in a hundred million runs.
    expect(second).to.be.within(10, 75);
    const counted = await till.do('grpcTalk', { target: TARGET, texts: ['a', 'b'] });
    expect(counted.texts).to.deep.equal(['v1: a', 'v1: b']);
    await mesh.kubectl.must(['delete', 'grpcroute', '-n', SHOP, 'calls']);
  });

  it('get a status of gRPC when there is no route, and no server', async () => {
    const { mesh, till } = on();
    const only = ROUTE.replace(
      '{service: ambit.test.Peer, method: Say}, headers',
      '{service: other.Service}, headers',
    );
    await mesh.apply(
      only.slice(
        0,
        only.indexOf('    - matches: [{method: {service: ambit.test.Peer, method: Say}}]'),
      ),
    );
    const call = { target: TARGET, method: 'Say', texts: ['x'] } as const;
    await mesh.until('there is no route', async () => {
      return (await till.do('grpcCall', call)).code === status.UNIMPLEMENTED;
    });
    await mesh.kubectl.must(['delete', 'grpcroute', '-n', SHOP, 'calls']);
    await mesh.until('there is a way again', async () => {
      return (await till.do('grpcCall', call)).code === status.OK;
    });
  });
}
