import { once } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { echo, Http2Peer } from '#tests/support/http2-peer.ts';
import { OutboundPod } from '#tests/support/outbound-pod.ts';
import { APP, TestAuthority } from '#tests/support/tls-material.ts';

const { NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM } = constants;

/** Sends a text, ends, and reads what comes back until the end: an echo, unless it was lost on the way. */
async function say(socket: Socket, text: string): Promise<string> {
  socket.end(text);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of socket) chunks.push(chunk as Buffer);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error';
  }
  return Buffer.concat(chunks).toString();
}

describe('an outbound connection whose request the peer refuses to look at', () => {
  const authority = new TestAuthority();
  const material = authority.issue();
  let loop: Loop;
  let tls: TlsContext;

  before(async () => {
    loop = await openThreadLoop();
    loop.onFault = (error) => {
      throw error;
    };
    loop.start();
    tls = new TlsContext(material);
  });

  after(() => {
    tls.free();
    loop.stop();
  });

  it('goes through another tunnel after REFUSED_STREAM, and loses no byte', async () => {
    let refused = 0;
    using peer = await Http2Peer.start(material, (stream) => {
      if (refused++ === 0) stream.close(NGHTTP2_REFUSED_STREAM);
      else echo(stream);
    });
    using pod = new OutboundPod(loop, tls, peer.port);
    expect(await say(pod.connect(), 'written before the answer')).to.equal(
      'written before the answer',
    );
    expect(peer.sessionCount).to.equal(2);
    expect(pod.ended.map(({ error }) => error)).to.deep.equal([undefined]);
  });

  it("goes through another tunnel when it lies above a GOAWAY's last stream", async () => {
    using peer = await Http2Peer.start(material, (stream, { sessionCount }) => {
      // On the first session the second request comes too late.
      if (sessionCount > 1 || stream.id === 1) echo(stream);
      else stream.session?.goaway(NGHTTP2_NO_ERROR, 1);
    });
    using pod = new OutboundPod(loop, tls, peer.port);
    const first = pod.connect();
    first.write('one');
    await once(first, 'data');
    expect(await say(pod.connect(), 'two')).to.equal('two');
    expect(peer.sessionCount).to.equal(2);
    // What was accepted before is not touched.
    first.write('three');
    expect(String((await once(first, 'data'))[0])).to.equal('three');
  });

  it('fails after two more tries, and says why', async () => {
    let requests = 0;
    using peer = await Http2Peer.start(material, (stream) => {
      requests++;
      stream.close(NGHTTP2_REFUSED_STREAM);
    });
    using pod = new OutboundPod(loop, tls, peer.port);
    expect(await say(pod.connect(), 'hello')).to.equal('ECONNRESET');
    expect(requests).to.equal(3);
    expect(pod.ended.map(({ error }) => error)).to.deep.equal([
      'the peer takes no more streams (HTTP/2 REFUSED_STREAM)',
    ]);
    expect(pod.context.live.size).to.equal(0);
  });

  it('is not tried again after any other reset: the application may have been reached', async () => {
    let requests = 0;
    using peer = await Http2Peer.start(material, (stream) => {
      requests++;
      stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
    });
    using pod = new OutboundPod(loop, tls, peer.port);
    expect(await say(pod.connect(), 'hello')).to.equal('ECONNRESET');
    expect(requests).to.equal(1);
  });

  it('is not tried again once it was accepted', async () => {
    let requests = 0;
    using peer = await Http2Peer.start(material, (stream) => {
      requests++;
      stream.respond({ ':status': 200 });
      stream.once('data', () => stream.close(NGHTTP2_REFUSED_STREAM));
      stream.resume();
    });
    using pod = new OutboundPod(loop, tls, peer.port);
    expect(await say(pod.connect(), 'hello')).to.equal('ECONNRESET');
    expect(requests).to.equal(1);
  });

  it('all of a hundred at once, to a peer that takes ten a tunnel and says so too late, succeed', async () => {
    const open = new Set<ServerHttp2Stream>();
    const perSession = 10;
    const accept = (stream: ServerHttp2Stream): void => {
      open.add(stream);
      echo(stream);
    };
    using peer = await Http2Peer.start(material, accept, perSession);
    using pod = new OutboundPod(loop, tls, peer.port);
    const sockets = Array.from({ length: 100 }, () => pod.connect());
    const answers = await Promise.all(
      sockets.map(async (socket, number) => {
        socket.write(`${number}`);
        return String((await once(socket, 'data'))[0]);
      }),
    );
    expect(answers).to.deep.equal(sockets.map((_, number) => `${number}`));
    expect(open.size).to.equal(100);
    expect(peer.sessions.size).to.equal(10);
    for (const socket of sockets) socket.destroy();
  });

  for (const [name, code] of [
    ['NO_ERROR', 0],
    ['INTERNAL_ERROR', 2],
    ['CANCEL', 8],
    ['CONNECT_ERROR', 10],
  ] as const) {
    it(`fails when its request is reset without an answer, with ${name}`, async () => {
      using peer = await Http2Peer.start(material, (stream) => stream.close(code));
      using pod = new OutboundPod(loop, tls, peer.port);
      expect(await say(pod.connect(), 'into the blue')).to.equal('ECONNRESET');
      expect(pod.ended.map(({ error }) => error)).to.deep.equal([
        `the peer reset the request without an answer (HTTP/2 code ${code})`,
      ]);
      expect(failures(pod)).to.deep.equal({ CONNECT: 1 });
    });
  }

  it('fails with IDENTITY_ERROR when the peer is another one', async () => {
    const other = 'spiffe://cluster.local/ns/default/sa/other';
    const stranger = authority.issue({ names: { uris: [other] } });
    using peer = await Http2Peer.start(stranger, echo);
    using pod = new OutboundPod(loop, tls, peer.port);
    expect(await say(pod.connect(), 'secret')).to.equal('ECONNRESET');
    expect(pod.ended.map(({ error }) => error)).to.deep.equal([
      `identity error: the peer is "${other}", want "${APP}"`,
    ]);
    expect(failures(pod)).to.deep.equal({ IDENTITY_ERROR: 1 });
  });

  it('fails with TLS_FAILURE when the peer is of another authority', async () => {
    using peer = await Http2Peer.start(new TestAuthority('Other root').issue(), echo);
    using pod = new OutboundPod(loop, tls, peer.port);
    expect(await say(pod.connect(), 'secret')).to.equal('ECONNRESET');
    expect(pod.ended[0]?.error).to.match(/^tls error: /);
    expect(failures(pod)).to.deep.equal({ TLS_FAILURE: 1 });
  });

  it('fails with DENY when the answer is 401, and with CONNECT when it is another', async () => {
    for (const [status, flag] of [
      [401, 'DENY'],
      [503, 'CONNECT'],
    ] as const) {
      using peer = await Http2Peer.start(material, (stream) => {
        stream.respond({ ':status': status }, { endStream: true });
      });
      using pod = new OutboundPod(loop, tls, peer.port);
      expect(await say(pod.connect(), 'please')).to.equal('ECONNRESET');
      expect(failures(pod)).to.deep.equal({ [flag]: 1 });
    }
  });
});

/** How many connections have failed, by response flag. */
function failures(pod: OutboundPod): Record<string, number> {
  const failed: Record<string, number> = {};
  for (const { labels, series } of pod.context.thread.metrics.entries()) {
    if (series.failed > 0) failed[labels['response_flags'] ?? ''] = series.failed;
  }
  return failed;
}
