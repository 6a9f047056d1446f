// What a waypoint tells of what goes through it: real clients and servers, the numbers and lines of its workers.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { connect, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTcpServer, type Server } from 'node:net';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { MetricsRegistry } from '#common/metrics/registry.ts';
import { trafficFamilies } from '#dataplane/telemetry/exposition.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { Watcher } from '#tests/support/watcher.ts';
import type { TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';
import { decide } from '#waypoint/exchange/decide.ts';
import { PolicySet } from '#waypoint/policy/policy-set.ts';
import { RouteTable } from '#waypoint/routing/table.ts';
import { requestFamilies } from '#waypoint/telemetry/request-families.ts';
import { requestLine } from '#waypoint/telemetry/request-log.ts';
import { RequestMetrics } from '#waypoint/telemetry/request-metrics.ts';
import { TcpMetrics } from '#waypoint/telemetry/tcp-metrics.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const TRACEPARENT = `00-${TRACE_ID}-b7ad6b7169203331-01`;

type Line = Readonly<Record<string, unknown>>;

const message = (text: string): Buffer => {
  const bytes = Buffer.from(`12345${text}`);
  bytes[0] = 0;
  bytes.writeUInt32BE(text.length, 1);
  return bytes;
};

describe('what a waypoint tells', function () {
  this.timeout(60_000);
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let requests: RequestMetrics;
  let tcp: TcpMetrics;
  let lines: Line[];
  let watcher: Watcher;

  beforeEach(() => {
    [requests, tcp, lines, watcher] = [new RequestMetrics(), new TcpMetrics(), [], new Watcher()];
    waypoint = bench.open();
    const sources = {
      view: waypoint.plane.mesh,
      routes: new RouteTable(),
      policies: new PolicySet(),
      random: Math.random,
      noticed: () => undefined,
    };
    waypoint.decide = (facts, request) => decide(sources, facts, request);
    waypoint.tell = {
      finished: (record) => {
        requests.add(record);
        lines.push(JSON.parse(requestLine(record, Date.now(), 'json')) as Line);
        watcher.look();
      },
      tcpOpened: (record) => tcp.opened(record),
      tcpClosed: (record) => {
        tcp.closed(record);
        watcher.look();
      },
    };
  });

  async function serve(
    server: Server,
    protocol: 'HTTP/1.1' | 'HTTP/2' | 'gRPC' | 'TCP',
  ): Promise<void> {
    const protocols = new Map([[80, protocol]]);
    waypoint.serve([await bench.listen(server)], { protocols });
  }

  /** What a scrape shows of these metrics, by name, with these labels. */
  async function scraped(...kept: readonly string[]): Promise<readonly string[]> {
    const traffic = new TrafficMetrics();
    traffic.absorb(tcp.takeChanges());
    const families = [...requestFamilies(requests), ...trafficFamilies(traffic)];
    const text = await new MetricsRegistry(families).render('prometheus');
    return text.split('\n').flatMap((line) => {
      const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (name === '' || line.startsWith('#')) return [];
      const shown = kept.flatMap((label) => new RegExp(`\\b${label}="[^"]*"`).exec(labels) ?? []);
      return [`${name}{${shown.join(',')}} ${value}`];
    });
  }

  describe('of HTTP', () => {
    let app: Server;
    let seen: IncomingHttpHeaders[];

    beforeEach(async () => {
      seen = [];
      app = createServer((request, response) => {
        seen.push(request.headers);
        request.resume();
        request.on('end', () => response.end('twelve bytes'));
      });
      await serve(app, 'HTTP/1.1');
    });

    it('carries a trace on as it came, and names it in the log', async () => {
      const client = await waypoint.connect();
      const tracestate = 'one=1,two=2';
      await client.ask('/', { headers: { traceparent: TRACEPARENT, tracestate } });
      expect(seen[0]).to.include({ traceparent: TRACEPARENT, tracestate });
      expect(lines[0]).to.include({ trace_id: TRACE_ID });
    });

    it('begins no trace of its own: nobody would export it', async () => {
      const client = await waypoint.connect();
      await client.ask('/');
      expect(seen[0]).to.not.have.any.keys('traceparent', 'tracestate', 'b3', 'x-b3-traceid');
      expect(lines[0]).to.not.have.property('trace_id');
    });

    it('carries on what is no trace, too: that is for the application to judge', async () => {
      const client = await waypoint.connect();
      await client.ask('/', { headers: { traceparent: 'other-format', tracestate: '' } });
      expect(seen[0]).to.include({ traceparent: 'other-format' });
      expect(lines[0]).to.not.have.property('trace_id');
    });

    it('gives each request an id that the log has, and keeps one that it has', async () => {
      const client = await waypoint.connect();
      await client.ask('/');
      await client.ask('/', { headers: { 'x-request-id': 'mine' } });
      expect(seen[0]?.['x-request-id']).to.match(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
      expect(lines[0]).to.include({ request_id: seen[0]?.['x-request-id'] });
      expect(seen[1]).to.include({ 'x-request-id': 'mine' });
      expect(lines[1]).to.include({ request_id: 'mine' });
    });

    it('counts requests, how long they took, and their bodies', async () => {
      const client = await waypoint.connect();
      for (const body of ['', 'four', 'x'.repeat(2_000)]) {
        await client.ask('/', { method: 'POST', body });
      }
      const shown = await scraped('le', 'response_code');
      expect(shown).to.include.members([
        'istio_requests_total{response_code="200"} 3',
        'istio_request_duration_milliseconds_bucket{le="+Inf",response_code="200"} 3',
        'istio_request_duration_milliseconds_count{response_code="200"} 3',
        'istio_request_bytes_bucket{le="0.5",response_code="200"} 1',
        'istio_request_bytes_bucket{le="5",response_code="200"} 2',
        'istio_request_bytes_bucket{le="2500",response_code="200"} 3',
        'istio_request_bytes_sum{response_code="200"} 2004',
        'istio_response_bytes_sum{response_code="200"} 36',
        'istio_response_bytes_bucket{le="25",response_code="200"} 3',
      ]);
    });

    it('knows what is open to an endpoint', async () => {
      const client = await waypoint.connect();
      const sent = client.request({ path: '/', method: 'POST' });
      sent.write('begun');
      const { servers: pool } = waypoint.plane;
      await once(app, 'request');
      const [inProgress] = pool.uses();
      expect(inProgress).to.include({ requests: 1, idleConnections: 0, http2Connections: 0 });
      sent.end();
      await watcher.until(() => lines.length === 1);
      expect(pool.uses()).to.deep.equal([
        { uid: inProgress?.uid, requests: 0, idleConnections: 1, http2Connections: 0 },
      ]);
    });

    it('names both sides in the labels', async () => {
      const client = await waypoint.connect();
      await client.ask('/');
      const [total] = (
        await scraped('reporter', 'source_principal', 'destination_service', 'request_protocol')
      ).filter((line) => line.startsWith('istio_requests_total'));
      expect(total).to.match(
        /^istio_requests_total\{reporter="waypoint",source_principal="spiffe:[^"]+",destination_service="shop\.default\.svc\.cluster\.local",request_protocol="http"\} 1$/,
      );
    });
  });

  it('counts the messages of a gRPC call both ways, however they are cut', async () => {
    const server = createHttp2Server();
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5' }));
      stream.resume();
      stream.on('end', () => stream.end(Buffer.concat([message('one'), message('')])));
    });
    const arrived = once(server, 'stream');
    await serve(server, 'gRPC');
    const inner = await waypoint.connect();
    const session = connect('http://shop', { createConnection: () => inner.stream });
    const stream = session.request({
      ':method': 'POST',
      ':path': '/shop.Shop/Buy',
      'content-type': 'application/grpc+proto',
    });
    stream.resume();
    const body = Buffer.concat([message('a'), message('b'.repeat(40_000)), message('c')]);
    for (const [start, end] of [
      [0, 3],
      [3, 8],
      [8, 30_000],
      [30_000, body.length],
    ] as const) {
      stream.write(body.subarray(start, end));
    }
    await arrived;
    const [use] = waypoint.plane.servers.uses();
    expect(use).to.include({ requests: 1, idleConnections: 0, http2Connections: 1 });
    stream.end();
    await watcher.until(() => lines.length === 1);
    expect(lines[0]).to.include({ grpc_status: '5', status: 200, path: '/shop.Shop/Buy' });
    const shown = await scraped('request_protocol', 'grpc_response_status');
    const labels = '{request_protocol="grpc",grpc_response_status="5"}';
    expect(shown).to.include.members([
      `istio_requests_total${labels} 1`,
      `istio_request_messages_total${labels} 3`,
      `istio_response_messages_total${labels} 2`,
      `istio_request_bytes_sum${labels} ${body.length}`,
      `istio_response_bytes_sum${labels} 13`,
    ]);
  });

  it('counts TCP connections while they are open, and when they are over', async () => {
    await serve(
      createTcpServer((socket) => socket.pipe(socket)),
      'TCP',
    );
    const inner = await waypoint.connect();
    inner.stream.write('hello there');
    await once(inner.stream, 'data');
    const traffic = new TrafficMetrics();
    traffic.absorb(tcp.takeChanges());
    const [open] = traffic.entries();
    expect(open?.series).to.include({ opened: 1, closed: 0, receivedBytes: 11, sentBytes: 11 });
    inner.stream.end();
    await watcher.until(() => waypoint.tcp.length === 1);
    traffic.absorb(tcp.takeChanges());
    expect(traffic.entries()[0]?.series).to.include({ opened: 1, closed: 1, failed: 0 });
  });
});
