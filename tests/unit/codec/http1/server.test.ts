import { expect } from 'chai';
import { describe, it } from 'mocha';

import { lines, parsed } from './heads.ts';
import { ServerPeer, written } from './peers.ts';

const GET = lines('GET / HTTP/1.1', 'Host: a');
const POST = lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5');

/** The first line and the framing of a response that came from a server as this head. */
function forwarded(peer: ServerPeer, ...head: string[]): string[] {
  peer.server.sendHead(peer.output, parsed('response', lines(...head)));
  return written(peer.output).split('\r\n').slice(0, -2);
}

/** The same, to a new client that has sent this request. */
function framing(request: string, ...head: string[]): string[] {
  const peer = new ServerPeer();
  peer.receive(request);
  return forwarded(peer, ...head);
}

describe('Http1Server, one after the other', () => {
  it('reads a request that was sent ahead when the one before it is answered', () => {
    const peer = new ServerPeer();
    peer.receive(`${GET}${POST}hello${GET}`);
    expect(peer.recorder.brief()).to.deep.equal([
      ['request', 'GET', '/'],
      ['end', []],
    ]);
    expect(peer.server.phase).to.equal('response');
    expect(peer.server.wantsInput).to.equal(false);
    expect(peer.respond(200, 'one')).to.equal('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none');
    expect(peer.server.wantsInput).to.equal(true);
    peer.receive('');
    expect(peer.recorder.brief()).to.deep.equal([
      ['request', 'POST', '/'],
      ['body', 'hello'],
      ['end', []],
    ]);
    peer.respond(200, '');
    peer.receive('');
    expect(peer.recorder.brief()).to.have.length(2);
    peer.respond(200, '');
    expect(peer.server.phase).to.equal('idle');
    expect(peer.rest).to.have.length(0);
  });

  it('ends the connection when the client says so, and says it too', () => {
    const peer = new ServerPeer();
    peer.receive(lines('GET / HTTP/1.1', 'Host: a', 'Connection: close') + GET);
    expect(peer.respond(200, '')).to.contain('\r\nconnection: close\r\n');
    expect([peer.server.sendingEnded, peer.server.finished]).to.deep.equal([true, true]);
    peer.receive('');
    expect(peer.recorder.brief(), 'what comes after close is not read').to.have.length(2);
  });

  it('keeps a connection of HTTP/1.0 when the client asks for it', () => {
    const peer = new ServerPeer();
    peer.receive(lines('GET / HTTP/1.0', 'Connection: keep-alive'));
    expect(peer.respond(200, 'x')).to.contain('\r\nconnection: keep-alive\r\n');
    expect(peer.server.phase).to.equal('idle');
    peer.receive(lines('GET / HTTP/1.0'));
    expect(peer.respond(200, 'x')).to.contain('\r\nconnection: close\r\n');
    expect(peer.server.finished).to.equal(true);
  });

  it('closeAfterResponse() ends the connection behind the current response, or at once', () => {
    const busy = new ServerPeer();
    busy.receive(GET);
    busy.server.closeAfterResponse();
    expect(busy.server.finished).to.equal(false);
    expect(busy.respond(200, '')).to.contain('connection: close');
    expect(busy.server.finished).to.equal(true);
    const idle = new ServerPeer();
    idle.server.closeAfterResponse();
    expect([idle.server.sendingEnded, idle.server.phase]).to.deep.equal([true, 'closed']);
  });

  it('answers a client that has ended its side, then ends', () => {
    const peer = new ServerPeer();
    peer.receive(GET);
    peer.server.receiveEnd();
    expect(peer.server.finished).to.equal(false);
    expect(peer.respond(200, 'x')).to.contain('connection: close');
    expect(peer.server.finished).to.equal(true);
  });

  it('answers a fault with a status of its own, then ends', () => {
    const peer = new ServerPeer();
    peer.receive(`GET / HTTP/1.1\r\n\r\n${GET}`);
    expect(peer.recorder.brief()).to.deep.equal([['fault', 'missingHost']]);
    expect(peer.server.canRespond).to.equal(true);
    expect(peer.respond(400, 'no')).to.match(/^HTTP\/1.1 400 Bad Request\r\n.*close\r\n\r\nno$/s);
    expect(peer.server.finished).to.equal(true);
  });

  it('abort() breaks off', () => {
    const peer = new ServerPeer();
    peer.receive(GET);
    peer.server.sendHeaders(peer.output, [[':status', '200']], false);
    peer.server.abort();
    written(peer.output);
    peer.server.sendEnd(peer.output);
    expect(written(peer.output)).to.equal('');
    expect(peer.server.finished).to.equal(true);
  });
});

describe('Http1Server, framing of responses', () => {
  it('keeps a length, and chunks what has none', () => {
    const length = ['HTTP/1.1 200 Fine', 'Content-Length: 5'];
    expect(framing(GET, ...length)).to.deep.equal(length);
    expect(framing(GET, 'HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')).to.deep.equal([
      'HTTP/1.1 200 OK',
      'transfer-encoding: chunked',
    ]);
    expect(framing(GET, 'HTTP/1.0 200 OK')).to.deep.equal([
      'HTTP/1.1 200 OK',
      'transfer-encoding: chunked',
    ]);
  });

  it('ends the connection behind a body without length for HTTP/1.0', () => {
    const peer = new ServerPeer();
    peer.receive(lines('GET / HTTP/1.0', 'Connection: keep-alive'));
    expect(forwarded(peer, 'HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')).to.deep.equal([
      'HTTP/1.1 200 OK',
      'connection: close',
    ]);
    const body = Buffer.from('plain');
    peer.server.sendBody(peer.output, body, 0, body.length);
    peer.server.sendEnd(peer.output);
    expect(written(peer.output)).to.equal('plain');
    expect(peer.server.sendingEnded).to.equal(true);
  });

  it('sends no body, and no framing but a length, to a HEAD and with 304', () => {
    const head = lines('HEAD / HTTP/1.1', 'Host: a');
    for (const [request, status] of [
      [head, '200 OK'],
      [GET, '304 Not Modified'],
    ] as const) {
      const line = `HTTP/1.1 ${status}`;
      expect(framing(request, line, 'Content-Length: 5')).to.deep.equal([
        line,
        'Content-Length: 5',
      ]);
      expect(framing(request, line, 'Transfer-Encoding: chunked')).to.deep.equal([line]);
    }
    const peer = new ServerPeer();
    peer.receive(head);
    forwarded(peer, 'HTTP/1.1 200 OK', 'Content-Length: 5');
    expect(peer.server.sendBody(peer.output, Buffer.from('hello'), 0, 5)).to.equal(5);
    peer.server.sendEnd(peer.output);
    expect(written(peer.output)).to.equal('');
    expect(peer.server.phase).to.equal('idle');
  });

  it('sends no length with 204', () => {
    const line = 'HTTP/1.1 204 No Content';
    expect(framing(GET, line, 'Content-Length: 0')).to.deep.equal([line]);
    expect(framing(GET, line)).to.deep.equal([line]);
  });

  it('says that there is nothing, for a list of fields that ends', () => {
    const peer = new ServerPeer();
    peer.receive(GET);
    peer.server.sendHeaders(peer.output, [[':status', '200']], true);
    expect(written(peer.output)).to.equal('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  });

  it('ends the connection behind a body that is shorter than its length', () => {
    const peer = new ServerPeer();
    peer.receive(GET);
    peer.server.sendHeaders(
      peer.output,
      [
        [':status', '200'],
        ['content-length', '5'],
      ],
      false,
    );
    peer.server.sendBody(peer.output, Buffer.from('hel'), 0, 3);
    peer.server.sendEnd(peer.output);
    expect(peer.server.finished).to.equal(true);
  });

  it('refuses to send more than the length', () => {
    const peer = new ServerPeer();
    peer.receive(GET);
    peer.server.sendHeaders(
      peer.output,
      [
        [':status', '200'],
        ['content-length', '2'],
      ],
      false,
    );
    expect(() => peer.server.sendBody(peer.output, Buffer.from('hel'), 0, 3)).to.throw('longer');
  });

  it('passes on interim responses, but not to HTTP/1.0', () => {
    expect(framing(GET, 'HTTP/1.1 103 Early Hints', 'Link: </x>')).to.deep.equal([
      'HTTP/1.1 103 Early Hints',
      'Link: </x>',
    ]);
    expect(framing(lines('GET / HTTP/1.0'), 'HTTP/1.1 103 Early Hints')).to.deep.equal([]);
  });

  it('leaves out what belongs to the connection of the server', () => {
    const head = [
      'HTTP/1.1 200 OK',
      'Connection: close, X-Hop',
      'X-Hop: 1',
      'Keep-Alive: timeout=5',
      'X-Stays: 1',
      'Content-Length: 0',
    ];
    expect(framing(GET, ...head)).to.deep.equal([
      'HTTP/1.1 200 OK',
      'X-Stays: 1',
      'Content-Length: 0',
    ]);
  });
});

describe('Http1Server, responses before the end of the request', () => {
  it('reads and drops the rest of a short body, then the next request', () => {
    const peer = new ServerPeer();
    peer.receive(`${POST}he`);
    peer.recorder.take();
    expect(peer.respond(403, 'no')).not.to.contain('close');
    expect(peer.server.phase).to.equal('body');
    peer.receive(`llo${GET}`);
    expect(peer.recorder.brief()).to.deep.equal([
      ['request', 'GET', '/'],
      ['end', []],
    ]);
  });

  it('does so also from within the event of the head', () => {
    const peer = new ServerPeer();
    let responses = '';
    peer.recorder.afterwards = ([name]) => {
      if (name === 'request') responses += peer.respond(403, 'no');
    };
    peer.receive(`${POST}hello${GET}${GET}`);
    expect(responses.match(/403 Forbidden/g)).to.have.length(3);
    expect(peer.recorder.brief().map((event) => (event as unknown[])[1])).to.deep.equal([
      'POST',
      'GET',
      'GET',
    ]);
    expect(peer.server.phase).to.equal('idle');
  });

  it('ends the connection instead when the rest is long, and says so', () => {
    const long = lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 70000');
    const peer = new ServerPeer();
    peer.receive(long);
    expect(peer.respond(413, '')).to.contain('connection: close');
    expect(peer.server.finished).to.equal(true);
    const chunked = lines('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked');
    const unknown = new ServerPeer({ maxDrainBytes: 10 });
    unknown.receive(`${chunked}5\r\nhello\r\n`);
    expect(unknown.respond(413, '')).not.to.contain('close');
    expect(unknown.server.finished).to.equal(false);
    unknown.receive('6\r\n world\r\n');
    expect(unknown.server.finished).to.equal(true);
  });

  it('ends the connection when the client waits for a 100 that it does not get', () => {
    const expecting = lines(
      'POST / HTTP/1.1',
      'Host: a',
      'Content-Length: 5',
      'Expect: 100-continue',
    );
    const refused = new ServerPeer();
    refused.receive(expecting);
    expect(refused.respond(401, '')).to.contain('connection: close');
    expect(refused.server.finished).to.equal(true);
    const asked = new ServerPeer();
    asked.receive(expecting);
    expect(forwarded(asked, 'HTTP/1.1 100 Continue')).to.deep.equal(['HTTP/1.1 100 Continue']);
    asked.receive('hello');
    expect(asked.respond(200, '')).not.to.contain('close');
    expect(asked.server.phase).to.equal('idle');
  });
});

describe('Http1Server, other protocols', () => {
  const UPGRADE = lines(
    'GET / HTTP/1.1',
    'Host: a',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: x',
  );

  it('hands on bytes both ways after 101, each way to its own end', () => {
    const peer = new ServerPeer();
    peer.receive(`${UPGRADE}\x81\x00`);
    expect(peer.recorder.brief()).to.have.length(2);
    expect(
      forwarded(
        peer,
        'HTTP/1.1 101 Switching Protocols',
        'Connection: upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Accept: y',
      ),
    ).to.deep.equal([
      'HTTP/1.1 101 Switching Protocols',
      'Sec-WebSocket-Accept: y',
      'upgrade: websocket',
      'connection: upgrade',
    ]);
    expect(peer.server.phase).to.equal('raw');
    peer.receive('\r\n\0');
    expect(peer.recorder.brief()).to.deep.equal([['body', '\x81\x00\r\n\0']]);
    peer.server.sendBody(peer.output, Buffer.from('raw'), 0, 3);
    peer.server.sendEnd(peer.output);
    expect(written(peer.output)).to.equal('raw');
    expect([peer.server.sendingEnded, peer.server.finished]).to.deep.equal([true, false]);
    peer.server.receiveEnd();
    expect(peer.recorder.brief()).to.deep.equal([['end', []]]);
    expect(peer.server.finished).to.equal(true);
  });

  it('reads what follows a refused upgrade as the next request', () => {
    const peer = new ServerPeer();
    peer.receive(UPGRADE + GET);
    peer.recorder.take();
    peer.respond(403, '');
    peer.receive('');
    expect(peer.recorder.brief()[0]).to.deep.equal(['request', 'GET', '/']);
  });

  it('never sends a 101 that was not asked for', () => {
    const peer = new ServerPeer();
    peer.receive(GET);
    const head = lines('HTTP/1.1 101 x', 'Connection: upgrade', 'Upgrade: websocket');
    expect(() => forwarded(peer, ...head.split('\r\n').slice(0, 3))).to.throw('asked for');
  });

  it('opens a tunnel with the success of a CONNECT, and only then', () => {
    const connect = lines('CONNECT a:1 HTTP/1.1', 'Host: a:1');
    const peer = new ServerPeer();
    peer.receive(`${connect}first`);
    peer.recorder.take();
    peer.server.sendHeaders(peer.output, [[':status', '200']], false);
    expect(written(peer.output)).to.equal('HTTP/1.1 200 OK\r\n\r\n');
    peer.receive('');
    expect(peer.recorder.brief()).to.deep.equal([['body', 'first']]);
    const refused = new ServerPeer();
    refused.receive(connect + GET);
    refused.recorder.take();
    refused.respond(403, 'no');
    refused.receive('');
    expect(refused.recorder.brief()[0]).to.deep.equal(['request', 'GET', '/']);
  });
});
