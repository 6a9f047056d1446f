import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { writeCertificate } from '#common/tls/x509-writer.ts';
import { identityOf, writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { program, type Running } from '#tests/bed/process.ts';
import type { Pod, World } from '#tests/bed/world.ts';

import { accessLine, Mesh, mark } from './support/mesh.ts';

const MINUTE_MS = 60_000;
const APP_PORT = 7_000;
const SERVICE_IP = '10.96.0.1';
const ONLY_FROM_GATE =
  '[{name: only-gate, namespace: default, scope: WorkloadSelector, action: Allow, rules: [[[{principals: [!Exact cluster.local/ns/default/sa/gate]}]]]}]';

/** The service of the app: what is for it goes through the waypoint. */
function services({ pods }: World): string {
  const gate = pods.find(({ name }) => name === 'gate')?.ipv4;
  const waypoint = { destination: `/${gate}`, hboneMtlsPort: 15008 };
  const hostname = 'app.default.svc.cluster.local';
  const vips = [`/${SERVICE_IP}`];
  const ports = { 80: APP_PORT };
  return JSON.stringify([{ name: 'app', namespace: 'default', hostname, vips, ports, waypoint }]);
}

const spec = {
  prefix: 'ambit-waypoint',
  nodes: [
    { name: 'near', pods: [{ name: 'till' }] },
    { name: 'far', pods: [{ name: 'gate' }, { name: 'app' }, { name: 'guarded' }] },
  ],
  // A waypoint opens and takes tunnels itself.
  outside: ['gate'],
  waypoints: { guarded: 'gate' },
  services,
  policies: ONLY_FROM_GATE,
  selected: { app: ['default/only-gate'], guarded: ['default/only-gate'] },
};

// till ─ tunnel ─▶ gate, which is a waypoint of node:http2 ─ tunnel ─▶ app, or guarded; both let only gate in
describe('a waypoint', function () {
  let mesh: Mesh;
  let till: Pod;
  let gate: Running | undefined;

  before(async () => {
    mesh = await Mesh.start(spec);
    till = mesh.pod('till');
  });
  afterEach(async () => {
    await gate?.stop();
    gate = undefined;
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  /** Runs the waypoint with a certificate for `identity`, in front of a pod. */
  async function startGate(pod: Pod, identity = identityOf(mesh.pod('gate'))): Promise<Running> {
    const file = (name: string): string => join(mesh.world.directory, name);
    const root = join('authority', 'root');
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const certificate = writeCertificate({
      issuer: 'cluster.local',
      subject: undefined,
      names: { uris: [identity] },
      notBeforeMs: Date.now() - 10 * MINUTE_MS,
      notAfterMs: Date.now() + 10 * MINUTE_MS,
      publicKey,
      issuerPrivateKey: createPrivateKey(readFileSync(file(`${root}.key`))),
      issuerPublicKey: new X509Certificate(readFileSync(file(`${root}.pem`))).publicKey,
      authority: false,
      endpoint: true,
    });
    writeFileSync(file('gate.pem'), certificate);
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(file('gate.key'), pem, { mode: 0o600 });
    const files = [file('gate.pem'), file('gate.key'), file(`${root}.pem`)];
    const args = [...files, pod.ipv4, String(APP_PORT)];
    const command = program('tests/bed/programs/waypoint.ts', ...args);
    gate = mesh.world.start(mesh.pod('gate'), command);
    await gate.waitFor(/^listening$/);
    return gate;
  }

  /** A connection through the waypoint to a pod, both ways. */
  async function carries(to: { ip: string; port: number }, pod: Pod): Promise<void> {
    const listener = mesh.listen(pod, APP_PORT);
    const client = await mesh.sockets.mustDial(till, to);
    const server = await mesh.sockets.accept(listener);
    expect(await mesh.sockets.carry(client, server, 'hello')).to.equal('hello');
    expect(await mesh.sockets.carry(server, client, 'welcome')).to.equal('welcome');
    await mesh.close({ client, server });
  }

  it('gets what is for its service, with the address that was called, from the caller itself', async () => {
    const app = mesh.pod('app');
    const front = await startGate(app);
    const from = mark(mesh.tunnel('near'));
    await carries({ ip: SERVICE_IP, port: 80 }, app);
    await front.waitFor(new RegExp(`^10\\.96\\.0\\.1:80 for ${identityOf(till)}$`));
    const line = await accessLine(from, /connection complete/);
    expect(line.get('dst.workload')).to.equal('gate');
    expect(line.get('dst.service')).to.equal('app.default.svc.cluster.local');
  });

  it('gets what is for its workload, with the address of that', async () => {
    const guarded = mesh.pod('guarded');
    const front = await startGate(guarded);
    await carries({ ip: guarded.ipv4, port: APP_PORT }, guarded);
    await front.waitFor(new RegExp(`^${guarded.ipv4}:${APP_PORT} for ${identityOf(till)}$`));
    await front.waitFor(/^passed on: 200$/);
  });

  it('is the only one that gets in when a policy says so', async () => {
    const app = mesh.pod('app');
    const listener = mesh.listen(app, APP_PORT);
    const from = mark(mesh.tunnel('far'));
    // By the address of the workload, which has no waypoint of its own.
    const answer = await mesh.ask(till, { ip: app.ipv4, port: APP_PORT }, 'hello');
    expect(answer).to.be.oneOf(['', 'ECONNRESET']);
    const line = await accessLine(from, /error="/);
    expect(line.get('error')).to.match(/policy rejection/);
    expect(mesh.sockets.isIdle(listener)).to.equal(true);
  });

  it('has to be who it should be', async () => {
    const app = mesh.pod('app');
    const listener = mesh.listen(app, APP_PORT);
    await startGate(app, identityOf(till));
    const from = mark(mesh.tunnel('near'));
    const answer = await mesh.ask(till, { ip: SERVICE_IP, port: 80 }, 'hello');
    expect(answer).to.be.oneOf(['', 'ECONNRESET']);
    const line = await accessLine(from, /error="/);
    expect(line.get('error')).to.match(/identity/);
    expect(mesh.sockets.isIdle(listener)).to.equal(true);
  });

  it('is waited for by nobody when it does not answer: the connection fails', async () => {
    const listener = mesh.listen(mesh.pod('app'), APP_PORT);
    const from = mark(mesh.tunnel('near'));
    const answer = await mesh.ask(till, { ip: SERVICE_IP, port: 80 }, 'hello');
    expect(answer).to.be.oneOf(['', 'ECONNRESET']);
    const line = await accessLine(from, /error="/);
    expect(line.get('error')).to.match(/ECONNREFUSED|Connection refused/i);
    expect(mesh.sockets.isIdle(listener)).to.equal(true);
  });

  it('is never gone around: one that the mesh does not know refuses what is for its service', async () => {
    const listener = mesh.listen(mesh.pod('app'), APP_PORT);
    const from = mark(mesh.tunnel('near'));
    writeMeshConfiguration(mesh.world, { ...spec, unknown: ['gate'] });
    await from.process.waitFor(/\tlocal configuration taken up\t/, MINUTE_MS, from.after);
    const answer = await mesh.ask(till, { ip: SERVICE_IP, port: 80 }, 'hello');
    expect(answer).to.be.oneOf(['', 'ECONNRESET']);
    const line = await accessLine(from, /error="/);
    expect(line.get('error')).to.match(/^unknown waypoint: \/.*:15008$/);
    expect(mesh.sockets.isIdle(listener)).to.equal(true);
  });
});
