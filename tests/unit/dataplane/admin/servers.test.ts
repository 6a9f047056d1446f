import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import type { AdminRequest, AdminResponse, AdminServer } from '#common/http/admin-server.ts';
import { LogLevels, parseLogFilter } from '#common/log/filter.ts';
import { MetricsRegistry } from '#common/metrics/registry.ts';
import { Readiness } from '#dataplane/admin/readiness.ts';
import { localHosts, openAdmin, openReadiness, openStats } from '#dataplane/admin/servers.ts';
import { buildFamilies } from '#dataplane/telemetry/exposition.ts';

const onError = (path: string, error: unknown): never => {
  throw new Error(`${path} failed`, { cause: error });
};

const clusters = ({ query }: AdminRequest): AdminResponse => ({
  status: 200,
  body: `clusters of ${query.get('of')}`,
});

let server: AdminServer;
async function ask(path: string, init?: RequestInit): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${server.ports[0]}${path}`, init);
  return { status: response.status, text: await response.text() };
}
describe('servers for operators', () => {
  afterEach(() => server.close());

  describe('openAdmin()', () => {
    let shutDowns = 0;
    beforeEach(async () => {
      const parsed = parseLogFilter('info');
      if (parsed.kind === 'refused') throw new Error(parsed.problem);
      const levels = new LogLevels(parsed.filter);
      shutDowns = 0;
      server = await openAdmin(
        {
          program: 'waypoint',
          configDump: () => Promise.resolve('{"workloads":[]}'),
          logging: {
            current: () => levels.current(),
            set: (filter) => levels.set(filter),
            reset: () => levels.reset(),
          },
          shutDown: () => void shutDowns++,
          more: new Map([
            ['clusters', { about: 'who serves', methods: ['GET'], handle: clusters }],
          ]),
        },
        { hosts: ['127.0.0.1'], port: 0, onError },
      );
    });

    it('shows an index', async () => {
      const { text } = await ask('/');
      expect(text).to.contain('<title>waypoint</title>').and.contain('config_dump');
      expect(text).to.contain('<a href="clusters">clusters</a>: who serves');
    });

    it('has the pages of its program', async () => {
      expect(await ask('/clusters?of=all')).to.deep.equal({ status: 200, text: 'clusters of all' });
      expect((await ask('/clusters', { method: 'POST' })).status).to.equal(405);
    });

    it('gives the configuration as JSON, by any method', async () => {
      const response = await fetch(`http://127.0.0.1:${server.ports[0]}/config_dump`);
      expect(response.headers.get('content-type')).to.equal('application/json');
      expect(await response.json()).to.deep.equal({ workloads: [] });
      expect((await ask('/config_dump', { method: 'POST' })).status).to.equal(200);
    });

    it('shows, sets and resets the log filter', async () => {
      const post = { method: 'POST' };
      const steps: ReadonlyArray<readonly [string, number, string]> = [
        ['/logging', 200, 'current log level is info\n'],
        ['/logging?level=debug', 200, 'current log level is debug\n'],
        ['/logging?level=access:debug,info', 200, 'current log level is access:debug,info\n'],
        ['/logging?level=', 200, 'current log level is access:debug,info\n'],
        ['/logging?lvl=debug', 400, 'Unknown parameter "lvl": want level=FILTER, or reset'],
        ['/logging?level=loud', 400, 'Cannot read log filter: part "loud": want a level'],
        ['/logging', 200, 'current log level is access:debug,info\n'],
        ['/logging?reset', 200, 'current log level is info\n'],
      ];
      for (const [path, status, text] of steps) {
        const answer = await ask(path, post);
        expect(answer.status, path).to.equal(status);
        expect(answer.text.startsWith(text), answer.text).to.equal(true);
      }
    });

    it('refuses to change anything by GET', async () => {
      expect((await ask('/logging?level=debug')).status).to.equal(405);
      expect((await ask('/quitquitquit')).status).to.equal(405);
      expect(shutDowns).to.equal(0);
    });

    it('starts the end of the process', async () => {
      expect(await ask('/quitquitquit', { method: 'POST' })).to.deep.equal({
        status: 200,
        text: 'shutdown now\n',
      });
      expect(shutDowns).to.equal(1);
    });
  });

  describe('openStats()', () => {
    beforeEach(async () => {
      const registry = new MetricsRegistry(buildFamilies('ztunnel', '1.2.3'));
      const listening = { port: 0, ipv6: false, onError };
      server = await openStats((format) => registry.render(format), listening);
    });

    it('gives metrics under both paths', async () => {
      const line = 'istio_build{component="ztunnel",tag="1.2.3"} 1\n';
      expect((await ask('/metrics')).text).to.contain(line);
      expect((await ask('/stats/prometheus')).text).to.contain(line);
    });

    it('gives OpenMetrics to those who ask for it', async () => {
      const response = await fetch(`http://127.0.0.1:${server.ports[0]}/metrics`, {
        headers: { accept: 'application/openmetrics-text; version=1.0.0' },
      });
      expect(response.headers.get('content-type')).to.match(/^application\/openmetrics-text/);
      expect((await response.text()).endsWith('\n# EOF\n')).to.equal(true);
    });
  });

  describe('openReadiness()', () => {
    it('answers 500 with what is pending, then 200', async () => {
      const readiness = new Readiness(['state manager']);
      server = await openReadiness(readiness, { port: 0, ipv6: true, onError });
      expect(await ask('/healthz/ready')).to.deep.equal({
        status: 500,
        text: 'not ready, pending: state manager\n',
      });
      readiness.done('state manager');
      expect(await ask('/healthz/ready')).to.deep.equal({ status: 200, text: 'ready\n' });
    });
  });

  describe('localHosts()', () => {
    it('has no IPv6 address when IPv6 is switched off', async () => {
      server = await openReadiness(new Readiness([]), { port: 0, ipv6: false, onError });
      expect(await localHosts(false)).to.deep.equal(['127.0.0.1']);
      expect((await localHosts(true))[0]).to.equal('127.0.0.1');
    });
  });
});
