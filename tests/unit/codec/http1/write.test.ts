import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ByteOutput } from '#codec/http1/byte-output.ts';
import { type GivenEdits, type HeadEdits, headEdits } from '#codec/http1/edits.ts';
import { type RequestPlan, writeRequestHead, writeResponseHead } from '#codec/http1/write.ts';

import { lines, parsed } from './heads.ts';
import { ClientPeer, roomy, written } from './peers.ts';

const REQUEST = lines(
  'POST /a?b HTTP/1.1',
  'Host: shop',
  'User-Agent:   u  ',
  'X-One: 1',
  'x-two: 2',
  'X-ONE: 3',
  'Content-Length: 0',
);

function edits(given: GivenEdits): HeadEdits {
  const made = headEdits(given);
  if ('invalidField' in made) throw new Error(made.invalidField);
  return made;
}

/** A request as a client sends it on. */
function sentOn(request: string, plan: RequestPlan): string {
  const peer = new ClientPeer();
  peer.client.sendHead(peer.output, parsed('request', request), plan);
  return written(peer.output);
}

describe('writeRequestHead()', () => {
  it('copies what is not to be changed byte by byte', () => {
    expect(sentOn(REQUEST, {})).to.equal(REQUEST);
  });

  it('sets, adds and removes fields', () => {
    const plan = {
      edits: edits({
        set: [
          ['X-One', 'new'],
          ['x-three', '3'],
        ],
        add: [['x-two', 'more']],
        remove: ['USER-AGENT', 'x-missing'],
      }),
      extra: [['traceparent', '00-x']] as const,
    };
    expect(sentOn(REQUEST, plan)).to.equal(
      lines(
        'POST /a?b HTTP/1.1',
        'Host: shop',
        'x-two: 2',
        'Content-Length: 0',
        'x-one: new',
        'x-three: 3',
        'x-two: more',
        'traceparent: 00-x',
      ),
    );
  });

  it('asks another host for another path', () => {
    expect(
      sentOn(REQUEST, { authority: 'other:8080', path: '/z' }).split('\r\n').slice(0, 3),
    ).to.deep.equal(['POST /z HTTP/1.1', 'host: other:8080', 'User-Agent:   u  ']);
  });

  it('turns every target into origin form, and every version into HTTP/1.1', () => {
    for (const [request, expected] of [
      [
        ['GET http://a/x HTTP/1.1', 'Host: a'],
        ['GET /x HTTP/1.1', 'Host: a'],
      ],
      [['GET http://a HTTP/1.0'], ['GET / HTTP/1.1', 'host: a']],
      [['GET /x HTTP/1.0'], ['GET /x HTTP/1.1', 'host: ']],
      [
        ['OPTIONS * HTTP/1.1', 'Host: a'],
        ['OPTIONS * HTTP/1.1', 'Host: a'],
      ],
      [
        ['OPTIONS http://a HTTP/1.1', 'Host: a'],
        ['OPTIONS * HTTP/1.1', 'Host: a'],
      ],
      [['CONNECT a:1 HTTP/1.0'], ['CONNECT a:1 HTTP/1.1', 'host: a:1']],
    ] as const)
      expect(sentOn(lines(...request), {})).to.equal(lines(...expected));
  });

  it('drops what belongs to the connection, and says what belongs to the next', () => {
    const request = lines(
      'POST / HTTP/1.1',
      'Connection: keep-alive, X-Hop',
      'X-Hop: 1',
      'Host: a',
      'Keep-Alive: timeout=5',
      'TE: trailers',
      'Upgrade: h2c',
      'Transfer-Encoding: chunked',
      'Trailer: x-sum',
    );
    expect(sentOn(request, {})).to.equal(
      lines(
        'POST / HTTP/1.1',
        'Host: a',
        'Trailer: x-sum',
        'transfer-encoding: chunked',
        'te: trailers',
        'connection: te',
      ),
    );
  });

  it('does not remove what it adds, whatever Connection names', () => {
    const request = lines('GET / HTTP/1.1', 'Host: a', 'Connection: x-added', 'X-Added: forged');
    expect(sentOn(request, { extra: [['x-added', 'ours']] })).to.equal(
      lines('GET / HTTP/1.1', 'Host: a', 'x-added: ours'),
    );
  });

  it('writes nothing when there is one byte too little room, wherever it lacks', () => {
    const head = parsed('request', REQUEST);
    const plan = { edits: edits({ set: [['x-three', '3'.repeat(30)]] }) };
    const outgoing = {
      framing: 'none',
      connection: 'te',
      upgrade: '',
      trailers: true,
      length: 'keep',
    } as const;
    const enough = roomy();
    expect(writeRequestHead(enough, head, plan, outgoing)).to.equal(true);
    for (let room = 0; room < enough.end; room++) {
      const bytes = Buffer.alloc(enough.end + 20, 0xaa);
      const output = new ByteOutput().point(bytes, 10, 10 + room);
      expect(writeRequestHead(output, head, plan, outgoing), `${room} bytes`).to.equal(false);
      expect(output.end).to.equal(10);
      expect(bytes.subarray(0, 10).equals(Buffer.alloc(10, 0xaa))).to.equal(true);
      expect(bytes.subarray(10 + room).every((byte) => byte === 0xaa)).to.equal(true);
    }
    const exact = new ByteOutput().point(Buffer.alloc(enough.end), 0, enough.end);
    expect(writeRequestHead(exact, head, plan, outgoing)).to.equal(true);
  });

  it('never writes a line break that comes with a value', () => {
    for (const header of [
      ['x', 'a\r\nb: c'],
      ['x\r\ny', 'z'],
      ['x', 'a\0'],
      ['x y', 'z'],
    ] as const)
      expect(() => sentOn(REQUEST, { extra: [header] }), header.join()).to.throw('cannot be sent');
  });
});

describe('writeResponseHead()', () => {
  const outgoing = {
    framing: 'length',
    connection: '',
    upgrade: '',
    trailers: false,
    length: 'keep',
  } as const;

  it('edits a response in the same way', () => {
    const head = parsed('response', lines('HTTP/1.0 200 Fine', 'Server: x', 'Content-Length: 2'));
    const output = roomy();
    writeResponseHead(
      output,
      head,
      { edits: edits({ remove: ['server'], add: [['x', 'y']] }) },
      outgoing,
    );
    expect(written(output)).to.equal(lines('HTTP/1.1 200 Fine', 'Content-Length: 2', 'x: y'));
  });
});

describe('headEdits()', () => {
  it('refuses what cannot be sent, and the fields that are not for rules to change', () => {
    for (const [given, field] of [
      [{ set: [['a b', 'c']] }, 'a b'],
      [{ add: [['x', 'y\r\nz: 1']] }, 'x'],
      [{ add: [['x', ' y']] }, 'x'],
      [{ remove: ['x:'] }, 'x:'],
      [{ remove: [''] }, ''],
      [{ remove: [':path'] }, ':path'],
      [{ set: [['Host', 'a']] }, 'host'],
      [{ remove: ['content-length'] }, 'content-length'],
      [{ set: [['Transfer-Encoding', 'chunked']] }, 'transfer-encoding'],
      [{ add: [['connection', 'close']] }, 'connection'],
    ] as const)
      expect(headEdits(given)).to.deep.equal({ invalidField: field });
  });
});
