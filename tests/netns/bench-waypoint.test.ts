import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import type { Path } from '#bench/measure.ts';
import { GATE_NODE, startWaypointPath } from '#bench/waypoint/path.ts';
import { type BenchWorld, createBenchWorld, WEB_PATH } from '#bench/world.ts';

const DEADLINE_SECONDS = 60;
const MANY_RULES = 1000;

// What is measured must be what it is said to be: a request that a policy lets in and a route leads on.
describe('the path of "npm run bench -- waypoint" with our waypoint', function () {
  let bench: BenchWorld;
  let path: Path;

  before(async () => {
    bench = await createBenchWorld([GATE_NODE]);
    path = await startWaypointPath(bench, 'ours');
  });
  after(async () => bench?.world.dispose());

  /** The status of the answer to the client, and what server gave it; tried again until there is one. */
  async function ask(method: string, where: string): Promise<string> {
    const url = `http://${path.address}:${path.webPort}${where}`;
    const again = `--retry ${DEADLINE_SECONDS} --retry-delay 1 --retry-connrefused --retry-all-errors`;
    const what = ['-s', '-o', '/dev/null', '-w', '%{http_code} %header{server}', '-X', method, url];
    const { stdout } = await bench.world.run(bench.client, ['curl', ...again.split(' '), ...what], {
      deadlineMs: DEADLINE_SECONDS * 1000,
    });
    return stdout.trim();
  }

  it('answers what its policy allows and its route takes, and nothing else', async () => {
    expect(await ask('GET', WEB_PATH)).to.match(/^200 nginx/);
    expect(await ask('DELETE', WEB_PATH)).to.equal('403');
    expect(await ask('GET', '/another')).to.equal('404');
  });

  it('answers the same when the waypoint has taken up a thousand rules, and when it has let them go', async () => {
    for (const count of [MANY_RULES, 1]) {
      await path.rules?.(count);
      expect(await ask('GET', WEB_PATH)).to.match(/^200 nginx/);
      expect(await ask('GET', '/another')).to.equal('404');
    }
  });
});
