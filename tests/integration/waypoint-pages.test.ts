// What a waypoint shows, as a process of its own behind a real control plane.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { AUTHORIZATION_POLICIES, HTTP_ROUTES } from '#kube/resources.ts';
import { TestWaypointProcess } from '#tests/bed/waypoint.ts';

const WAIT_MS = 60_000;
const REQUEST =
  'GET /items?page=2 HTTP/1.1\r\nhost: reviews\r\nuser-agent: a test\r\nauthorization: hidden\r\nconnection: close\r\n\r\n';

interface Dump {
  readonly workloads: readonly { readonly name: string }[];
  readonly services: readonly { readonly hostname: string }[];
  readonly routes: readonly { readonly key: string }[];
  readonly waypointPolicies: readonly { readonly key: string; readonly action: string }[];
  readonly version: { readonly version: string };
  readonly config: { readonly podName: string; readonly ports: object };
  readonly certificates: readonly {
    readonly identity: string;
    readonly state: string;
    readonly certChain: readonly { readonly pem: string; readonly serialNumber: string }[];
  }[];
  readonly workloadState: object;
}

interface Clusters {
  readonly silentWorkers: number;
  readonly clusters: readonly {
    readonly name: string;
    readonly endpoints: readonly { readonly address: string; readonly usable: boolean }[];
  }[];
}

describe('the pages of a waypoint', function () {
  this.timeout(120_000);
  let waypoint: TestWaypointProcess;

  before(async () => {
    waypoint = await TestWaypointProcess.start(() => ({
      WAYPOINT_WORKER_THREADS: '2',
      LOG_FORMAT: 'json',
    }));
    const { client } = waypoint.cluster;
    await waypoint.cluster.addPod('reviews-0', {
      namespace: 'shop',
      serviceAccount: 'reviews',
      node: 'node-a',
      ip: '127.0.0.77',
      labels: { app: 'reviews' },
    });
    await client.create(HTTP_ROUTES, {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'split', namespace: 'shop' },
      spec: {
        parentRefs: [{ group: '', kind: 'Service', name: 'reviews', port: 80 }],
        rules: [{ backendRefs: [{ name: 'reviews', port: 80, weight: 9 }] }],
      },
    });
    await client.create(AUTHORIZATION_POLICIES, {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'no-delete', namespace: 'shop' },
      spec: {
        targetRefs: [{ group: '', kind: 'Service', name: 'reviews' }],
        action: 'DENY',
        rules: [{ to: [{ operation: { methods: ['DELETE'] } }] }],
      },
    });
  });
  after(async () => waypoint?.[Symbol.asyncDispose]());

  async function page(port: keyof TestWaypointProcess['ports'], path: string): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${waypoint.ports[port]}${path}`);
    expect(answer.status, path).to.equal(200);
    return await answer.text();
  }

  /** What a page shows as soon as it is as wanted. */
  async function pageUntil<Shown>(path: string, wanted: (shown: Shown) => boolean): Promise<Shown> {
    for (const deadlineMs = Date.now() + WAIT_MS; ; await sleep(50)) {
      const shown = JSON.parse(await page('admin', path)) as Shown;
      if (wanted(shown)) return shown;
      if (Date.now() > deadlineMs) throw new Error(JSON.stringify(shown, undefined, 2));
    }
  }

  it('show everything that it goes by, and nothing secret', async () => {
    const dump = await pageUntil<Dump>(
      '/config_dump',
      ({ routes, waypointPolicies, workloads }) =>
        routes.length > 0 && waypointPolicies.length > 0 && workloads.length > 1,
    );
    expect(dump.services.map(({ hostname }) => hostname)).to.include(
      'reviews.shop.svc.cluster.local',
    );
    expect(dump.routes.map(({ key }) => key)).to.deep.equal(['HTTPRoute/shop/split']);
    expect(dump.waypointPolicies[0]).to.include({ key: 'shop/no-delete', action: 'deny' });
    expect(dump.config).to.include({ podName: 'way-0' });
    expect(dump.config.ports).to.include({ tunnel: waypoint.ports.tunnel });
    expect(dump.workloadState).to.deep.equal({});
    const [own, ...others] = dump.certificates;
    expect(others).to.deep.equal([]);
    expect(own).to.include({
      identity: 'spiffe://cluster.local/ns/shop/sa/way',
      state: 'Available',
    });
    const pem = Buffer.from(own?.certChain[0]?.pem ?? '', 'base64').toString();
    expect(pem).to.match(/^-----BEGIN CERTIFICATE-----/);
    const text = JSON.stringify(dump);
    expect(text).to.not.include('PRIVATE KEY');
    // Of the service account: the beginning of every such token.
    expect(text).to.not.include('eyJ');
    expect(text).to.include('(left out)');
  });

  it('show the endpoints behind it', async () => {
    const shown = await pageUntil<Clusters>('/clusters?format=json', ({ clusters }) =>
      clusters.some(({ endpoints }) => endpoints.length > 0),
    );
    expect(shown.silentWorkers).to.equal(0);
    expect(shown.clusters.map(({ name }) => name)).to.deep.equal([
      'inbound-vip|80|http|reviews.shop.svc.cluster.local',
    ]);
    expect(shown.clusters[0]?.endpoints[0]).to.include({ address: '127.0.0.77:80', usable: true });
    const text = await page('admin', '/clusters');
    expect(text).to.include('::127.0.0.77:80::health_flags::healthy\n');
    expect(await page('admin', '/')).to.include('<a href="clusters">');
    const wrong = await fetch(`http://127.0.0.1:${waypoint.ports.admin}/clusters?format=yaml`);
    expect([wrong.status, await wrong.text()]).to.deep.equal([
      400,
      'Unknown format "yaml": want text or json\n',
    ]);
  });

  it('show metrics that Prometheus can read, and the log tells the same', async () => {
    const seen = waypoint.process.lines.length;
    const answer = await waypoint.ask(await waypoint.tunnel(), REQUEST.replace('GET', 'DELETE'));
    expect(answer).to.match(/^HTTP\/1\.1 403 /);
    const line = JSON.parse(
      await waypoint.process.waitFor(/request complete/, WAIT_MS, seen),
    ) as object;
    expect(line).to.include({
      level: 'warn',
      scope: 'access',
      method: 'DELETE',
      path: '/items?page=2',
      status: 403,
      user_agent: 'a test',
      'src.identity': 'spiffe://cluster.local/ns/shop/sa/client',
      policy: 'shop/no-delete, rule 0',
    });
    expect(JSON.stringify(line)).to.not.include('hidden');
    const text = await page('stats', '/metrics');
    expect(malformed(text)).to.deep.equal([]);
    const total = text.split('\n').find((one) => one.startsWith('istio_requests_total'));
    expect(total).to.match(
      /reporter="waypoint".*destination_service_name="reviews".*response_code="403".*\} 1$/,
    );
    expect(text).to.match(
      /\nistio_request_duration_milliseconds_bucket\{le="0\.5",reporter="waypoint",/,
    );
    expect(text).to.match(/\nistio_build\{component="waypoint",tag="[^"]+"\} 1\n/);
    expect(text).to.include('\nambit_metric_series_overflow_total 0\n');
  });

  it('count what was refused', async () => {
    const tunnel = await waypoint.tunnel();
    const smuggled = 'GET / HTTP/1.1\r\nhost: reviews\r\nhost: other\r\n\r\n';
    expect(await waypoint.ask(tunnel, smuggled)).to.match(/^HTTP\/1\.1 400 /);
    const elsewhere = tunnel.request({ ':method': 'CONNECT', ':authority': '192.0.2.1:80' });
    elsewhere.on('error', () => undefined);
    const [headers] = (await once(elsewhere, 'response')) as [{ ':status'?: number }];
    expect(headers[':status']).to.equal(404);
    const text = await page('stats', '/metrics');
    expect(text).to.include('\nambit_bad_requests_total{fault="severalHosts"} 1\n');
    expect(text).to.include('\nambit_tunnels_refused_total 1\n');
  });
});

/** Lines that the text format does not have, and histograms that contradict themselves. */
function malformed(text: string): readonly string[] {
  const label = String.raw`[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"`;
  const sample = new RegExp(
    String.raw`^([a-zA-Z_:][\w:]*)(?:\{(${label}(?:,${label})*)\})? (\S+)$`,
  );
  const wrong: string[] = [];
  const told = new Set<string>();
  let below = 0;
  for (const line of text.split('\n')) {
    if (line === '' || /^# (HELP|TYPE) [a-zA-Z_:][\w:]* \S/.test(line)) continue;
    const [, name = '', labels = '', value = ''] = sample.exec(line) ?? [];
    if (name === '' || Number.isNaN(Number(value))) wrong.push(line);
    if (told.has(`${name}{${labels}}`)) wrong.push(`twice: ${line}`);
    told.add(`${name}{${labels}}`);
    if (!name.endsWith('_bucket')) continue;
    if (labels.includes('le="0.5"')) below = 0;
    if (Number(value) < below) wrong.push(`fewer than below it: ${line}`);
    below = Number(value);
  }
  return wrong;
}
