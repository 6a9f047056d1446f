import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { text } from 'node:stream/consumers';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { Service } from '#dataplane/state/service.ts';
import { delta, gatewayAt, ports } from '#tests/support/mesh.ts';
import { forwardTo, type Inner, SERVICE_VIP, type TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';
import { SHOP } from '#tests/support/waypoint-resources.ts';

const HTTP1 = { protocols: new Map([[80, 'HTTP/1.1']]) } as const satisfies Partial<Service>;

describe('A connection through a waypoint', () => {
  const bench = useWaypoint((error) => void faults.push(error));
  let faults: unknown[];
  let waypoint: TestWaypoint;
  let app: Server;

  beforeEach(async () => {
    faults = [];
    app = createServer((_request, response) => response.end('served'));
    waypoint = bench.open();
    waypoint.serve([await bench.listen(app)], HTTP1);
  });

  function shop(): Service {
    return waypoint.plane.mesh.serviceByHostname(SHOP.hostname, SHOP.namespace) as Service;
  }

  function changeService(change: Partial<Service>): void {
    waypoint.plane.applyMesh(delta({ upsertServices: [{ ...shop(), ...change }] }));
  }

  async function warm(): Promise<Inner> {
    const client = await waypoint.connect();
    expect((await client.ask('/')).status).to.equal(200);
    return client;
  }

  it('ends when the service is not bound to the waypoint any more', async () => {
    const client = await warm();
    const ended = once(client.stream, 'end');
    changeService({ waypoint: gatewayAt('/127.0.0.99') });
    await ended;
  });

  it('ends when the service has lost the port', async () => {
    const client = await warm();
    const ended = once(client.stream, 'end');
    changeService({ ports: ports({ 81: 81 }) });
    await ended;
  });

  it('goes on with what the service is now', async () => {
    const client = await warm();
    changeService({ subjectAltNames: [] });
    let asked: unknown;
    waypoint.decide = (facts) => {
      asked = facts.target.kind === 'service' && facts.target.service;
      return forwardTo(facts);
    };
    expect((await client.ask('/')).body).to.equal('served');
    expect(asked).to.equal(shop());
  });

  it('is hurt by no fault at a request beside it', async () => {
    const answer = Promise.withResolvers<void>();
    app.removeAllListeners('request');
    app.on('request', (_request, response) => void answer.promise.then(() => response.end('well')));
    waypoint.decide = (facts, { path }) => {
      if (path === '/fault') throw new Error('a fault of ours');
      return forwardTo(facts);
    };
    const { stream } = await waypoint.connect();
    const session = connect('http://shop', { createConnection: () => stream });
    const good = session.request({ ':path': '/' });
    const bad = session.request({ ':path': '/fault' });
    await once(bad, 'error');
    answer.resolve();
    const [headers] = (await once(good, 'response')) as [{ ':status'?: number }];
    expect(headers[':status']).to.equal(200);
    good.close();
    expect(faults.map(String)).to.deep.equal(['Error: a fault of ours']);
  });

  describe('of a waypoint that ends', () => {
    it('is answered when its first request was on its way, and ends', async () => {
      const client = await waypoint.connect();
      waypoint.plane.drain();
      const heard = client.exchange('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
      expect(await heard).to.match(/^HTTP\/1\.1 200 .*connection: close.*served$/s);
    });

    it('is answered when it was itself on its way, and ends', async () => {
      const client = await warm();
      waypoint.plane.drain();
      const stream = (client.stream.session as ClientHttp2Session).request({
        ':method': 'CONNECT',
        ':authority': `${SERVICE_VIP}:80`,
      });
      stream.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
      // The client ends nothing: the waypoint does.
      expect(await text(stream)).to.match(/^HTTP\/1\.1 200 .*connection: close.*served$/s);
    });

    it('ends when nothing comes', async () => {
      const client = await waypoint.connect();
      const closed = once(client.stream, 'close');
      waypoint.plane.drain();
      await closed;
    });
  });
});
