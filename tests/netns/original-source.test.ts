import { execFileSync } from 'node:child_process';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { RateLimitedLines } from '#common/log/rate-limit.ts';
import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { inNetns } from '#linux/netns.ts';
import { acceptTcp, listenTcp, peerAddress } from '#linux/socket.ts';
import type { Loop } from '#reactor/loop.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { ip } from '#tests/support/mesh.ts';
import { NetworkNamespace } from '#tests/support/network-namespace.ts';
import { threadContext } from '#tests/support/thread-context.ts';
import { connectFromPod } from '#ztunnel/proxy/context.ts';
import { PodProxy } from '#ztunnel/worker/pod-proxy.ts';

const POD = { namespace: 'default', name: 'shop', serviceAccount: 'default' };
const APP = parseSocketAddress('127.0.0.1:8080') as SocketAddress;
const SETTINGS = { ipv6: true, reusePort: true };

/** A process that may enter namespaces but change nothing in them: why it serves no pod there, or what it said. */
const POWERLESS = `
  import { openNetns } from '#linux/netns.ts';
  import { MeshStore } from '#dataplane/state/store.ts';
  import { openThreadLoop } from '#reactor/thread-loop.ts';
  import { threadContext } from '#tests/support/thread-context.ts';
  import { PodProxy } from '#ztunnel/worker/pod-proxy.ts';
  const [path, mustBeTransparent] = process.argv.slice(1);
  const thread = threadContext(await openThreadLoop(), new MeshStore());
  const pod = new PodProxy(thread, 'uid', ${JSON.stringify(POD)}, openNetns(path));
  const settings = { ipv6: true, reusePort: true, mustBeTransparent: mustBeTransparent === 'true' };
  console.log(pod.listen(settings) ?? 'serves');
  pod.close('over');
`;

describe("the client's address", () => {
  let pod: NetworkNamespace;
  let loop: Loop;
  let proxy: PodProxy;
  let said: string[];

  beforeEach(async () => {
    pod = new NetworkNamespace('ambit-origsrc');
    loop = await openThreadLoop();
    said = [];
    const repeated = new RateLimitedLines((line) => said.push(line));
    const thread = { ...threadContext(loop, new MeshStore()), repeated };
    proxy = new PodProxy(thread, 'uid', POD, pod.fd);
  });

  afterEach(() => {
    proxy.close('the test is over');
    loop.stop();
    pod[Symbol.dispose]();
  });

  /** Whom an application sees that is called from this address. */
  function seenFrom(source: string): string | undefined {
    const listener = inNetns(pod.fd, () =>
      listenTcp({ address: APP, transparent: false, reusePort: false, backlog: 1 }),
    );
    if (!('fd' in listener)) throw new Error(listener.call);
    const dialed = connectFromPod(proxy.context, APP, ip(source));
    if (!('fd' in dialed)) throw new Error(dialed.reason);
    const accepted = acceptTcp(listener.fd);
    const seen = peerAddress(accepted)?.ip;
    for (const fd of [listener.fd, dialed.fd, accepted]) closeSocket(fd);
    return seen;
  }

  it('is what connectFromPod() shows the application', () => {
    expect(seenFrom('127.0.0.7')).to.equal('127.0.0.7');
    expect(said).to.deep.equal([]);
  });

  it('is left out when it can not be used, and the operator is told', () => {
    expect(seenFrom('2001:db8::7')).to.equal('127.0.0.1');
    expect(said).to.deep.equal([
      "cannot connect to pod default/shop from its client's address 2001:db8::7: invalid argument (EINVAL); it sees an address of this node",
    ]);
  });

  function powerless(mustBeTransparent: boolean): string {
    const less = ['--bounding-set', '-net_admin,-net_raw', '--inh-caps', '-net_admin,-net_raw'];
    const program = [process.execPath, '--input-type=module', '-e', POWERLESS];
    const given = [`/run/netns/${pod.name}`, String(mustBeTransparent)];
    return execFileSync('setpriv', [...less, ...program, ...given], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim();
  }

  it('is not needed by a process that is not permitted to use it, unless it must be', () => {
    expect(powerless(false)).to.equal('serves');
    expect(powerless(true)).to.equal(
      'cannot listen on port 15001 in the network namespace of pod default/shop: IP_TRANSPARENT is not permitted, which ENABLE_ORIG_SRC=true asks for: want the capability NET_ADMIN, or ENABLE_ORIG_SRC unset',
    );
  });

  it('is no reason to refuse a pod to a process that may use it', () => {
    expect(proxy.listen({ ...SETTINGS, mustBeTransparent: true })).to.equal(undefined);
  });
});
