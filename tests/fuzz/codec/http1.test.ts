import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { BodyWriter } from '#codec/http1/body-writer.ts';
import { ByteOutput } from '#codec/http1/byte-output.ts';
import { Http1Client } from '#codec/http1/client.ts';
import { HTTP1_FAULTS } from '#codec/http1/faults.ts';
import type { Head } from '#codec/http1/head.ts';
import { allocateHeadTables } from '#codec/http1/message-reader.ts';
import { Http1Server } from '#codec/http1/server.ts';

import { llhttpMessages, type Message, messagesOf } from '#tests/support/llhttp.ts';
import { ClientPeer, ServerPeer } from '#tests/unit/codec/http1/peers.ts';
import { clientBytes, serverBytes } from '#tests/unit/codec/http1/scripts.ts';

/** Runs per property; for a long run, change it by hand. */
const RUNS = 400;

interface Flip {
  readonly at: number;
  readonly kind: 'byte' | 'cut' | 'repeat' | 'insert';
  readonly value: string;
}

/** Bytes and words that mean something to HTTP/1, and any byte. */
const pieces: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('\r', '\n', '\r\n', '\r\n\r\n', ' ', '\t', '\0', ':', ';', ',', '0', '5', '\x0b'),
  fc.constantFrom('Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'Host: b\r\n', '#'),
  fc.constantFrom('0\r\n\r\n', 'HTTP/1.0', 'HTTP/1.1', 'chunked', 'close', 'GET / HTTP/1.1\r\n'),
  fc.nat(255).map((byte) => String.fromCharCode(byte)),
);

const flips: fc.Arbitrary<Flip[]> = fc.array(
  fc.record({
    at: fc.nat(10_000),
    kind: fc.constantFrom('byte', 'cut', 'repeat', 'insert'),
    value: pieces,
  }),
  { minLength: 0, maxLength: 4 },
);

function flipped(bytes: Buffer, changes: readonly Flip[]): Buffer {
  let text = bytes.toString('latin1');
  for (const { at, kind, value } of changes) {
    const start = text.length === 0 ? 0 : at % text.length;
    const end = start + 1 + value.charCodeAt(0) / 8;
    if (kind === 'byte') text = text.slice(0, start) + value + text.slice(start + 1);
    else if (kind === 'insert') text = text.slice(0, start) + value + text.slice(start);
    else if (kind === 'cut') text = text.slice(0, start) + text.slice(end);
    else text = text.slice(0, end) + text.slice(start);
  }
  return Buffer.from(text, 'latin1');
}

/** A proxy of both codecs that sends on what it reads, and keeps what it has sent. */
function sentOn(bytes: Buffer): { sent: Buffer; messages: Message[]; faulted: boolean } {
  const output = new ByteOutput().point(Buffer.alloc(1 << 20), 0, 1 << 20);
  const messages: Message[] = [];
  let faulted = false;
  let client: Http1Client | undefined;
  const nothing = { onHead: () => {}, onBody: () => {}, onEnd: () => {}, onFault: () => {} };
  const server: Http1Server = new Http1Server({}, allocateHeadTables('request'), {
    onHead: (head: Head) => {
      messages.push({ method: head.method, target: head.target, body: '', ended: false });
      // A new connection for each: what is sent is looked at as one stream.
      client = new Http1Client({}, allocateHeadTables('response'), nothing);
      expect(client.sendHead(output, head)).to.equal(true);
    },
    onBody: (piece, start, end) => {
      const message = messages.at(-1)!;
      message.body += piece.toString('latin1', start, end);
      expect(client!.sendBody(output, piece, start, end)).to.equal(end);
    },
    onEnd: (trailers) => {
      messages.at(-1)!.ended = true;
      expect(client!.sendEnd(output, trailers)).to.equal(true);
      const answer = new ByteOutput().point(Buffer.alloc(200), 0, 200);
      server.sendHeaders(answer, [[':status', '404']], true);
      server.sendEnd(answer);
    },
    onFault: () => {
      faulted = true;
    },
  });
  for (let at = 0; at < bytes.length && server.wantsInput; )
    at = server.receive(bytes, at, bytes.length);
  return { sent: output.bytes.subarray(0, output.end), messages, faulted };
}

describe('codec/http1, fuzzed', () => {
  it('a server survives any change in what a client sends, and says at most one fault', () => {
    fc.assert(
      fc.property(clientBytes, flips, (bytes, changes) => {
        const peer = new ServerPeer({ maxHeadBytes: 512 });
        peer.recorder.afterwards = ([name]) => {
          if (name === 'end') peer.respond(200, 'ok');
        };
        peer.receive(flipped(bytes, changes));
        structuredClone(peer.server.export());
        peer.server.receiveEnd();
        const faults = peer.recorder.take().filter(([name]) => name === 'fault');
        expect(faults.length).to.be.most(1);
        for (const [, fault] of faults) expect(HTTP1_FAULTS).to.have.property(String(fault));
      }),
      { numRuns: 4 * RUNS },
    );
  });

  it('a client survives any change in what a server sends, and ends a response once', () => {
    fc.assert(
      fc.property(
        serverBytes,
        flips,
        fc.constantFrom('GET', 'HEAD', 'CONNECT'),
        (bytes, changes, method) => {
          const peer = new ClientPeer({ maxHeadBytes: 512 });
          peer.ask(method);
          peer.receive(flipped(bytes, changes));
          structuredClone(peer.client.export());
          peer.client.receiveEnd();
          const names = peer.recorder.take().map(([name]) => name);
          expect(names.filter((name) => name === 'end').length).to.be.most(1);
          expect(names.filter((name) => name === 'fault').length).to.be.most(1);
          expect(peer.client.reusable).to.equal(false);
        },
      ),
      { numRuns: 4 * RUNS },
    );
  });

  it('never looks outside of what it was given', () => {
    fc.assert(
      fc.property(
        clientBytes,
        flips,
        fc.uint8Array({ maxLength: 40 }),
        (bytes, changes, around) => {
          const broken = flipped(bytes, changes);
          const events = [Buffer.alloc(0), Buffer.from(around)].map((noise) => {
            const peer = new ServerPeer();
            const all = Buffer.concat([
              noise,
              broken,
              noise,
              Buffer.from('\r\n\r\n HTTP/1.1\r\n\r\n'),
            ]);
            const start = noise.length;
            const at = peer.server.receive(all, start, start + broken.length);
            return [peer.recorder.take(), at - start];
          });
          expect(events[1]).to.deep.equal(events[0]);
        },
      ),
      { numRuns: 2 * RUNS },
    );
  });

  it('takes no request that llhttp sees otherwise', () => {
    fc.assert(
      fc.property(clientBytes, flips, (bytes, changes) => {
        const broken = flipped(bytes, changes);
        const { messages } = sentOn(broken);
        const theirs = llhttpMessages(broken);
        for (const [i, ours] of messages.entries()) {
          if (!ours.ended) break;
          // llhttp may be stricter, and end before; it must not see anything else.
          const other = theirs.messages[i];
          if (other === undefined) {
            expect(theirs.error, 'llhttp sees fewer requests').to.be.a('string');
            break;
          }
          if (!other.ended && theirs.error !== undefined) break;
          expect(other).to.deep.equal(ours);
        }
      }),
      { numRuns: 8 * RUNS },
    );
  });

  it('sends on nothing that llhttp refuses, or sees otherwise', () => {
    fc.assert(
      fc.property(clientBytes, flips, (bytes, changes) => {
        const { sent, messages } = sentOn(flipped(bytes, changes));
        fc.pre(messages.every(llhttpKnows));
        const theirs = llhttpMessages(sent);
        expect(theirs.error).to.equal(undefined);
        const all = theirs.messages.map(({ method, body, ended }) => ({ method, body, ended }));
        expect(all).to.deep.equal(
          messages.map(({ method, body, ended }) => ({ method, body, ended })),
        );
      }),
      { numRuns: 8 * RUNS },
    );
  });

  it('takes every unbroken request that llhttp takes', () => {
    fc.assert(
      fc.property(clientBytes, (bytes) => {
        const theirs = llhttpMessages(bytes);
        const ours = sentOn(bytes);
        if (theirs.error === undefined && !ours.faulted)
          expect(theirs.messages).to.deep.equal(ours.messages);
        // What only we refuse is what no honest client sends.
        if (theirs.error === undefined && ours.faulted)
          expect(bytes.toString()).to.match(ONLY_OURS);
        if (theirs.error !== undefined && ours.messages.every(llhttpKnows))
          expect(ours.faulted).to.equal(true);
      }),
      { numRuns: 4 * RUNS },
    );
  });

  it('BodyWriter writes what messages of any pieces mean, with any room', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 8 }),
        fc.integer({ min: 13, max: 60 }),
        (parts, room) => {
          const body = new BodyWriter();
          body.begin('chunked', 0);
          const sent: Buffer[] = [
            Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'),
          ];
          const output = new ByteOutput();
          for (const part of parts.map((bytes) => Buffer.from(bytes)))
            for (let at = 0; at < part.length; ) {
              output.point(Buffer.alloc(room), 0, room);
              at = body.write(output, part, at, part.length);
              sent.push(output.bytes.subarray(0, output.end));
            }
          body.end(output.point(Buffer.alloc(9), 0, 9), undefined);
          sent.push(output.bytes.subarray(0, output.end));
          const [message] = llhttpMessages(Buffer.concat(sent)).messages;
          expect(message).to.deep.include({
            body: Buffer.concat(parts).toString('latin1'),
            ended: true,
          });
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('reads responses as llhttp does', () => {
    fc.assert(
      fc.property(serverBytes, flips, (bytes, changes) => {
        const broken = flipped(bytes, changes);
        const peer = new ClientPeer();
        peer.ask('GET');
        peer.receive(broken);
        const ours = messagesOf(peer.recorder.take());
        const theirs = llhttpMessages(broken, 'response');
        for (const [i, message] of ours.entries()) {
          const other = theirs.messages[i];
          if (!message.ended || other === undefined) break;
          expect(other.target).to.equal(message.target);
          if (theirs.error === undefined || other.ended) expect(other).to.deep.equal(message);
        }
      }),
      { numRuns: 4 * RUNS },
    );
  });
});

/**
 * We take any token as a method, and as most servers, targets with the bytes of UTF-8 that careless clients send; llhttp
 * takes neither.
 */
function llhttpKnows({ method, target }: Message): boolean {
  return ['GET', 'POST', 'HEAD', 'OPTIONS'].includes(method) && /^[\x21-\x7e]*$/.test(target);
}

/** Host, Connection and framing in forms that we do not take, of those that the scripts hold. */
const ONLY_OURS = /Host: b|Connection: host|Transfer-Encoding: gzip|HTTP\/1\.0/i;
