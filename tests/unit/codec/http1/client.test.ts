import { expect } from 'chai';
import { describe, it } from 'mocha';

import { lines, parsed } from './heads.ts';
import { ClientPeer, written } from './peers.ts';

const OK = lines('HTTP/1.1 200 OK', 'Content-Length: 2');

describe('Http1Client', () => {
  it('asks, hears, and asks again', () => {
    const peer = new ClientPeer();
    expect(peer.ask('GET')).to.equal('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(peer.client.reusable).to.equal(false);
    peer.receive(`${OK}ok`);
    expect(peer.recorder.brief()).to.deep.equal([
      ['response', 200, 'OK'],
      ['body', 'ok'],
      ['end', []],
    ]);
    expect(peer.client.reusable).to.equal(true);
    expect(peer.ask('POST')).to.contain('content-length: 0');
  });

  it('is not free within the event that ends a response', () => {
    const peer = new ClientPeer();
    peer.ask('GET');
    const free: boolean[] = [];
    peer.recorder.afterwards = () => free.push(peer.client.reusable);
    peer.receive(`${OK}ok`);
    expect(free).to.deep.equal([false, false]);
  });

  it('refuses what comes unasked: before a request, behind a response, or as a second one', () => {
    const early = new ClientPeer();
    early.receive(OK);
    expect(early.recorder.brief()).to.deep.equal([['fault', 'unsolicitedResponse']]);
    const twice = new ClientPeer();
    twice.ask('GET');
    expect(twice.receive(`${OK}ok${OK}`)).to.equal(OK.length + 2);
    expect(twice.recorder.brief().at(-1)).to.deep.equal(['fault', 'unsolicitedResponse']);
    expect([twice.client.reusable, twice.client.finished]).to.deep.equal([false, true]);
    const later = new ClientPeer();
    later.ask('GET');
    later.receive(`${OK}ok`);
    later.receive('\n');
    expect(later.recorder.brief().at(-1)).to.deep.equal(['fault', 'unsolicitedResponse']);
  });

  it('finds the end of a response by the request and the status first', () => {
    for (const [method, head, body, rest] of [
      ['HEAD', lines('HTTP/1.1 200 OK', 'Content-Length: 5'), '', true],
      ['HEAD', lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'), '', true],
      ['GET', lines('HTTP/1.1 204 x', 'Content-Length: 5'), '', true],
      ['GET', lines('HTTP/1.1 304 x', 'Content-Length: 5'), '', true],
      ['GET', lines('HTTP/1.1 200 OK', 'Content-Length: 0'), '', true],
      [
        'GET',
        `${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}2\r\nab\r\n0\r\n\r\n`,
        'ab',
        true,
      ],
      ['GET', `${lines('HTTP/1.0 200 OK', 'Content-Length: 2')}ab`, 'ab', false],
      [
        'GET',
        `${lines('HTTP/1.1 200 OK', 'Content-Length: 2', 'Connection: close')}ab`,
        'ab',
        false,
      ],
    ] as const) {
      const peer = new ClientPeer();
      peer.ask(method);
      peer.receive(head);
      const events = peer.recorder.brief();
      expect(events.at(-1), head).to.deep.equal(['end', []]);
      expect(events.slice(1, -1)).to.deep.equal(body === '' ? [] : [['body', body]]);
      expect(peer.client.reusable, head).to.equal(rest);
    }
  });

  it('takes everything up to the end of the connection when nothing else is said', () => {
    const peer = new ClientPeer();
    peer.ask('GET');
    peer.receive(`${lines('HTTP/1.1 200 OK')}one`);
    peer.receive(' two');
    expect(peer.client.finished).to.equal(false);
    peer.client.receiveEnd();
    expect(peer.recorder.brief().slice(1)).to.deep.equal([
      ['body', 'one two'],
      ['end', []],
    ]);
    expect([peer.client.reusable, peer.client.finished]).to.deep.equal([false, true]);
  });

  it('shows interim responses before the final one, but not any number', () => {
    const peer = new ClientPeer({ maxInterimResponses: 2 });
    peer.ask('GET');
    const interim = lines('HTTP/1.1 103 Early Hints', 'Link: </x>');
    peer.receive(`${lines('HTTP/1.1 100 Continue')}${interim}${OK}ok`);
    expect(peer.recorder.brief().map((event) => (event as unknown[])[1])).to.deep.equal([
      100,
      103,
      200,
      'ok',
      [],
    ]);
    peer.ask('GET');
    peer.receive(interim + interim + interim);
    expect(peer.recorder.brief().at(-1)).to.deep.equal(['fault', 'tooManyInterimResponses']);
  });

  it('says why there is no whole response', () => {
    for (const [text, fault, begun] of [
      ['', 'noResponse', false],
      ['HTTP/1.1 2', 'truncatedHead', true],
      [lines('HTTP/1.1 100 Continue'), 'noResponse', true],
      [`${OK}o`, 'truncatedBody', true],
    ] as const) {
      const peer = new ClientPeer();
      peer.ask('GET');
      peer.receive(text);
      expect(peer.client.responseBegun, text).to.equal(begun);
      peer.client.receiveEnd();
      expect(peer.recorder.brief().at(-1)).to.deep.equal(['fault', fault]);
      expect(peer.client.finished).to.equal(true);
    }
  });

  it('is not reused when the request has not ended', () => {
    const peer = new ClientPeer();
    const post = lines('POST /x HTTP/1.1', 'Host: a', 'Content-Length: 5');
    peer.client.sendHead(peer.output, parsed('request', post));
    peer.receive(`${OK}ok`);
    expect(peer.client.reusable).to.equal(false);
    peer.client.sendBody(peer.output, Buffer.from('hello'), 0, 5);
    peer.client.sendEnd(peer.output);
    expect(peer.client.reusable).to.equal(true);
  });

  it('is not reused after a request that is shorter than its length', () => {
    const peer = new ClientPeer();
    const post = lines('POST /x HTTP/1.1', 'Host: a', 'Content-Length: 5');
    peer.client.sendHead(peer.output, parsed('request', post));
    peer.client.sendEnd(peer.output);
    peer.receive(`${OK}ok`);
    expect(peer.client.reusable).to.equal(false);
  });

  it('switches protocols when it has asked for it, and only then', () => {
    const upgrade = lines(
      'GET /x HTTP/1.1',
      'Host: a',
      'Connection: keep-alive, Upgrade',
      'Upgrade: websocket',
    );
    const answer = lines('HTTP/1.1 101 x', 'Connection: Upgrade', 'Upgrade: WebSocket');
    const peer = new ClientPeer();
    peer.client.sendHead(peer.output, parsed('request', upgrade));
    peer.client.sendEnd(peer.output);
    expect(written(peer.output)).to.equal(
      lines('GET /x HTTP/1.1', 'Host: a', 'upgrade: websocket', 'connection: upgrade'),
    );
    peer.receive(`${answer}\x81\x00`);
    expect(peer.recorder.brief()).to.deep.equal([
      ['response', 101, 'x'],
      ['body', '\x81\x00'],
    ]);
    peer.client.sendBody(peer.output, Buffer.from('raw'), 0, 3);
    expect(written(peer.output)).to.equal('raw');
    peer.client.receiveEnd();
    expect(peer.recorder.brief()).to.deep.equal([['end', []]]);
    peer.client.sendEnd(peer.output);
    expect([peer.client.sendingEnded, peer.client.finished]).to.deep.equal([true, true]);

    const plain = new ClientPeer();
    plain.ask('GET');
    plain.receive(answer);
    expect(plain.recorder.brief()).to.deep.equal([['fault', 'unexpectedUpgrade']]);
    const other = new ClientPeer();
    other.client.sendHead(other.output, parsed('request', upgrade));
    other.receive(lines('HTTP/1.1 101 x', 'Connection: Upgrade', 'Upgrade: h2c'));
    expect(other.recorder.brief()).to.deep.equal([['fault', 'unexpectedUpgrade']]);
  });

  it('opens a tunnel with the success of a CONNECT', () => {
    const peer = new ClientPeer();
    const connect = lines('CONNECT a:1 HTTP/1.1', 'Host: a:1');
    peer.client.sendHead(peer.output, parsed('request', connect));
    peer.client.sendEnd(peer.output);
    expect(written(peer.output)).to.equal(connect);
    peer.receive(`${lines('HTTP/1.1 200 OK', 'Content-Length: 3')}bytes and more`);
    expect(peer.recorder.brief()).to.deep.equal([
      ['response', 200, 'OK'],
      ['body', 'bytes and more'],
    ]);
  });
});
