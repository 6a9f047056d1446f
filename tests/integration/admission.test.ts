import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { type AddressInfo, createConnection, createServer, type Server } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import { openNetns } from '#linux/netns.ts';
import { listenTcp, localAddress } from '#linux/socket.ts';
import type { Loop } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { ip, storeOf, workload } from '#tests/support/mesh.ts';
import { threadContext } from '#tests/support/thread-context.ts';
import { APP, TestAuthority } from '#tests/support/tls-material.ts';
import type { AdmissionLimits } from '#ztunnel/proxy/admission.ts';
import { Identities } from '#ztunnel/worker/identities.ts';
import type { ListenerFds, ListenerName } from '#ztunnel/worker/pod-listeners.ts';
import { PodProxy } from '#ztunnel/worker/pod-proxy.ts';

const { HTTP2_HEADER_METHOD, HTTP2_HEADER_AUTHORITY, HTTP2_HEADER_STATUS } = constants;
const POD = { name: 'shop', namespace: 'default', serviceAccount: 'app' };

function listen(): number {
  const address = { ip: ip('127.0.0.1'), port: 0 };
  const opened = listenTcp({ address, transparent: false, reusePort: false, backlog: 128 });
  if (!('fd' in opened)) throw new Error(opened.call);
  return opened.fd;
}

/** A pod of this machine's own namespace that listens on free ports; its clients use Node's TLS and HTTP/2. */
describe('a pod with limits', () => {
  const material = new TestAuthority().issue();
  let loop: Loop;
  let app: Server;
  let netnsFd: number;
  let proxy: PodProxy;
  let fds: ListenerFds;
  let reports: string[];
  let identities: Identities;
  const sessions = new Set<ClientHttp2Session>();

  before(async () => {
    loop = await openThreadLoop();
    loop.onFault = (error) => {
      throw error;
    };
    loop.start();
    netnsFd = openNetns('/proc/self/ns/net');
    app = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
  });

  after(() => {
    app.close();
    closeSocket(netnsFd);
    loop.stop();
  });

  afterEach(() => {
    for (const session of sessions) session.destroy();
    sessions.clear();
    proxy.close('test over');
    expect(proxy.inbound.tunnels.size).to.equal(0);
    expect(proxy.context.live.size).to.equal(0);
  });

  function serve(limits: Partial<AdmissionLimits>): void {
    reports = [];
    const shop = workload('shop', '127.0.0.1', { serviceAccount: 'app', protocol: 'HBONE' });
    const report = (line: string): void => {
      reports.push(line);
    };
    const thread = threadContext(loop, storeOf({ workloads: [shop] }), { limits, report });
    identities = new Identities(loop, () => undefined);
    identities.update(APP, { kind: 'available', material });
    const settings = { ...thread.settings, originalSource: false };
    proxy = new PodProxy({ ...thread, identities, settings }, 'uid', POD, netnsFd);
    fds = { outbound: listen(), plaintext: listen(), inbound: listen() };
    proxy.adoptListeners(fds);
    proxy.resume();
  }

  const portOf = (name: ListenerName): number => localAddress(fds[name])?.port ?? 0;

  /** A tunnel that is open, or the code of the error. */
  async function tunnelFrom(address: string): Promise<ClientHttp2Session | string> {
    const port = portOf('inbound');
    const socket = connectTls({
      socket: createConnection({ host: '127.0.0.1', port, localAddress: address }),
      cert: material.chainPem.join(''),
      key: material.privateKeyPem,
      ca: material.rootsPem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ['h2'],
    });
    const session = connect('https://127.0.0.1', { createConnection: () => socket });
    sessions.add(session);
    const failed = Promise.withResolvers<string>();
    session.on('error', (error: NodeJS.ErrnoException) => failed.resolve(error.code ?? ''));
    const open = once(session, 'remoteSettings').then(() => session);
    open.catch(() => undefined);
    return Promise.race([open, failed.promise]);
  }

  async function status(session: ClientHttp2Session): Promise<number> {
    const stream = session.request({
      [HTTP2_HEADER_METHOD]: 'CONNECT',
      [HTTP2_HEADER_AUTHORITY]: `127.0.0.1:${(app.address() as AddressInfo).port}`,
    });
    stream.on('error', () => undefined);
    const [headers] = (await once(stream, 'response')) as [Record<string, number>];
    return headers[HTTP2_HEADER_STATUS] ?? 0;
  }

  async function refusal(name: ListenerName): Promise<string> {
    const socket = createConnection({ host: '127.0.0.1', port: portOf(name) });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    return error.code ?? '';
  }

  it('resets the tunnels that an address has too many of, takes those of others, and takes again', async () => {
    serve({ tunnelsPerPodAndPeer: 3 });
    const opened = [];
    for (let count = 0; count < 10; count++) opened.push(await tunnelFrom('127.0.0.1'));
    expect(opened.slice(3)).to.deep.equal(Array.from({ length: 7 }, () => 'ECONNRESET'));
    const [first] = opened as [ClientHttp2Session];
    expect(await status(first)).to.equal(200);
    expect(await tunnelFrom('127.0.0.2')).to.be.an('object');
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include('refused a tunnel from 127.0.0.1 to pod default/shop');
    first.destroy();
    while (proxy.inbound.tunnels.size > 3) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(await tunnelFrom('127.0.0.1')).to.be.an('object');
  });

  it('resets the tunnels that a pod has too many of', async () => {
    serve({ tunnelsPerPod: 2 });
    expect(await tunnelFrom('127.0.0.1')).to.be.an('object');
    expect(await tunnelFrom('127.0.0.2')).to.be.an('object');
    expect(await tunnelFrom('127.0.0.3')).to.equal('ECONNRESET');
    expect(reports[0]).to.include('the pod has 2 tunnels');
  });

  it('answers 503 to requests beyond the connections of the pod, until one has ended', async () => {
    serve({ connectionsPerPod: 5 });
    const session = (await tunnelFrom('127.0.0.1')) as ClientHttp2Session;
    const statuses = [];
    for (let count = 0; count < 10; count++) statuses.push(await status(session));
    expect(statuses).to.deep.equal([200, 200, 200, 200, 200, 503, 503, 503, 503, 503]);
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include('the pod has 5 connections');
    const [one] = proxy.context.live;
    one?.cut('ended');
    expect(await status(session)).to.equal(200);
  });

  it('answers 503 to requests beyond those of an address, over all of its tunnels, and to no other', async () => {
    serve({ connectionsPerPeer: 3 });
    const tunnels = [await tunnelFrom('127.0.0.1'), await tunnelFrom('127.0.0.1')];
    const statuses = [];
    for (let count = 0; count < 6; count++) {
      statuses.push(await status(tunnels[count % 2] as ClientHttp2Session));
    }
    expect(statuses).to.deep.equal([200, 200, 200, 503, 503, 503]);
    const other = (await tunnelFrom('127.0.0.2')) as ClientHttp2Session;
    expect(await status(other)).to.equal(200);
  });

  it('resets what comes in plaintext, or from the pod, beyond its connections', async () => {
    serve({ connectionsPerPod: 0 });
    expect(await refusal('plaintext')).to.equal('ECONNRESET');
    expect(await refusal('outbound')).to.equal('ECONNRESET');
  });
});
