import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type IncomingHttpHeaders } from 'node:http2';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';
import { route, SHOP } from '#tests/support/waypoint-resources.ts';
import { decide } from '#waypoint/exchange/decide.ts';
import { PolicySet } from '#waypoint/policy/policy-set.ts';
import { RouteTable } from '#waypoint/routing/table.ts';

const PAGE = 'https://a.test';
const CORS = {
  kind: {
    case: 'cors' as const,
    value: {
      allowOrigins: [PAGE],
      allowMethods: ['PUT'],
      allowHeaders: ['x-user'],
      exposeHeaders: ['x-count'],
      maxAgeS: 60,
    },
  },
};
const PREFLIGHT = {
  origin: PAGE,
  'access-control-request-method': 'PUT',
  'access-control-request-headers': 'x-user',
};

describe('CORS through a waypoint', () => {
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let asked: string[];

  beforeEach(async () => {
    asked = [];
    // An application that would let in everybody.
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.setHeader('access-control-allow-origin', '*');
      response.setHeader('vary', 'Accept');
      response.end('here you are');
    });
    waypoint = bench.open();
    waypoint.serve([await bench.listen(server)], { protocols: new Map([[80, 'HTTP/1.1']]) });
    const routes = new RouteTable();
    const backends = [{ service: SHOP, port: 80, weight: 1 }];
    routes.apply([route('pages', { rules: [{ filters: [CORS], backends }] })], []);
    waypoint.decide = (facts, request) =>
      decide(
        {
          view: waypoint.plane.mesh,
          routes,
          policies: new PolicySet(),
          random: Math.random,
          noticed: () => undefined,
        },
        facts,
        request,
      );
  });

  /** The answer to one request by the protocol: what it says of CORS. */
  async function answered(
    protocol: 'HTTP/1.1' | 'HTTP/2',
    method: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ status: number; headers: IncomingHttpHeaders }> {
    const inner = await waypoint.connect();
    if (protocol === 'HTTP/1.1') return await inner.ask('/', { method, headers });
    const session = connect('http://shop', { createConnection: () => inner.stream });
    const stream = session.request({ ':method': method, ':path': '/', ...headers });
    stream.resume();
    const ended = once(stream, 'end');
    const [given] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    await ended;
    return { status: Number(given[':status']), headers: given };
  }

  for (const protocol of ['HTTP/1.1', 'HTTP/2'] as const) {
    it(`answers a page that asks, by ${protocol}, without the application`, async () => {
      const { status, headers } = await answered(protocol, 'OPTIONS', PREFLIGHT);
      expect(status).to.equal(200);
      expect(headers).to.include({
        'access-control-allow-origin': PAGE,
        'access-control-allow-methods': 'PUT',
        'access-control-allow-headers': 'x-user',
        'access-control-max-age': '60',
        vary: 'Origin',
      });
      const stranger = { ...PREFLIGHT, origin: 'https://evil.test' };
      const refused = await answered(protocol, 'OPTIONS', stranger);
      expect(refused.headers).not.to.have.property('access-control-allow-origin');
      expect(asked).to.deep.equal([]);
    });

    it(`tells its page who may see the answer, by ${protocol}, whatever the application says`, async () => {
      const { status, headers } = await answered(protocol, 'PUT', { origin: PAGE });
      expect(status).to.equal(200);
      expect(headers).to.include({
        'access-control-allow-origin': PAGE,
        'access-control-expose-headers': 'x-count',
        vary: 'Accept, Origin',
      });
      expect(asked).to.deep.equal(['PUT /']);
    });
  }
});
