import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { status as Status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { readCertificates } from '#common/tls/certificate.ts';
import { selfSigned } from '#common/tls/self-signed.ts';
import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';
import { CaClient, type CaClientOptions, type SignResult } from '#dataplane/identity/ca-client.ts';
import {
  type CertificateAuthority,
  type CertificateAuthorityOptions,
  type SigningCall,
  startCertificateAuthority,
} from '#tests/bed/certificate-authority.ts';
import { openssl } from '#tests/support/openssl.ts';

const TILL = parseIdentity('spiffe://cluster.local/ns/shop/sa/till') as Identity;
const TOKEN = 'header.payload.signature';
type Answer = NonNullable<CertificateAuthorityOptions['answer']>;

describe('CaClient', () => {
  let authority: CertificateAuthority;
  let answer: Answer;
  const calls: SigningCall[] = [];
  const clients: CaClient[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'ca-client-'));
  const file = (name: string, text: string): { kind: 'file'; path: string } => {
    writeFileSync(join(directory, name), text);
    return { kind: 'file', path: join(directory, name) };
  };

  before(async () => {
    authority = await startCertificateAuthority({
      listen: '127.0.0.1:0',
      answer: (call, chain) => {
        calls.push(call);
        return answer(call, chain);
      },
    });
  });
  after(async () => {
    await authority[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client[Symbol.dispose]();
    calls.length = 0;
  });

  function newClient(given: Partial<CaClientOptions> = {}): CaClient {
    const client = new CaClient({
      address: authority.address,
      root: { kind: 'inline', text: authority.rootPem },
      token: { kind: 'inline', text: TOKEN },
      clusterId: 'Kubernetes',
      certificateTtlMs: 3_600_000,
      deadlineMs: 5_000,
      ...given,
    });
    clients.push(client);
    return client;
  }

  async function sign(given: Partial<CaClientOptions> = {}): Promise<SignResult> {
    return await newClient(given).sign(TILL, new AbortController().signal);
  }

  async function failure(given: Partial<CaClientOptions> = {}): Promise<string> {
    const result = await sign(given);
    if (result.kind === 'signed') throw new Error('Want a failure');
    expect(result.reason).to.not.include(TOKEN);
    return `${result.retryable ? 'retryable' : 'final'}: ${result.reason}`;
  }

  function withOtherKey(identity: string): string {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return authority.issue(identity, publicKey, 60);
  }

  describe('when the authority signs', () => {
    before(() => {
      answer = (_, chain) => chain;
    });

    it('gives chain, key and roots that OpenSSL accepts for both roles', async () => {
      const result = await sign();
      if (result.kind === 'failed') throw new Error(result.reason);
      for (const purpose of ['sslserver', 'sslclient']) {
        const verdict = openssl([
          'verify',
          '-x509_strict',
          '-purpose',
          purpose,
          '-CAfile',
          { 'roots.pem': result.rootsPem },
          { 'leaf.pem': result.chainPem[0]! },
        ]);
        expect(verdict.ok, verdict.text).to.equal(true);
      }
      const leaf = new X509Certificate(result.chainPem[0]!);
      expect(leaf.subjectAltName).to.equal(`URI:${TILL}`);
      expect(result.notAfterMs).to.equal(leaf.validToDate.getTime());
      expect(result.notBeforeMs).to.equal(leaf.validFromDate.getTime());
      expect(result.privateKeyPem).to.match(/^-----BEGIN PRIVATE KEY-----/);
    });

    it('sends identity, life time, token and cluster', async () => {
      await sign();
      expect(calls).to.have.length(1);
      expect(calls[0]).to.include({
        identity: TILL,
        ttlSeconds: 3600,
        authorization: `Bearer ${TOKEN}`,
        clusterId: 'Kubernetes',
      });
    });

    it('reads the token file for every request', async () => {
      const token = file('token', 'first\n');
      const client = newClient({ token });
      await client.sign(TILL, new AbortController().signal);
      file('token', 'second\n');
      await client.sign(TILL, new AbortController().signal);
      expect(calls.map(({ authorization }) => authorization)).to.deep.equal([
        'Bearer first',
        'Bearer second',
      ]);
    });

    it('uses a new key for every request', async () => {
      const [one, two] = [await sign(), await sign()];
      expect(one.kind === 'signed' && one.privateKeyPem).to.not.equal(
        two.kind === 'signed' && two.privateKeyPem,
      );
    });

    it('trusts what the root file holds now', async () => {
      const root = file(
        'root.pem',
        selfSigned({ uris: ['a:b'], notAfterMs: Date.now() + 60_000 }).certificatePem,
      );
      const client = newClient({ root });
      const { signal } = new AbortController();
      expect(await client.sign(TILL, signal)).to.have.property('kind', 'failed');
      file('root.pem', authority.rootPem);
      expect(await client.sign(TILL, signal)).to.have.property('kind', 'signed');
    });

    it('accepts a bundle of roots, the right one last', async () => {
      const other = selfSigned({ uris: ['a:b'], notAfterMs: Date.now() + 60_000 }).certificatePem;
      const root = { kind: 'inline', text: other + authority.rootPem } as const;
      expect(await sign({ root })).to.have.property('kind', 'signed');
    });

    it('connects by name and by address', async () => {
      const address = authority.address.replace('127.0.0.1', 'localhost');
      expect(await sign({ address })).to.have.property('kind', 'signed');
    });

    it('sends further headers', async () => {
      const headers = new Map([
        ['clusterid', 'overruled'],
        ['x-more', '1'],
      ]);
      expect(await sign({ headers })).to.have.property('kind', 'signed');
      // The cluster is ours to say, whatever the further headers are.
      expect(calls[0]?.clusterId).to.equal('Kubernetes');
    });
  });

  describe('when the answer is wrong', () => {
    const wrong: ReadonlyArray<readonly [string, Answer, string]> = [
      ['no certificate', () => [], 'The chain is empty'],
      ['no roots', (_, [leaf = '']) => [leaf], 'The chain has no roots'],
      ['roots that are none', (_, [leaf = '']) => [leaf, 'none'], 'Roots: No certificate found'],
      ['a leaf that is none', (_, [, root = '']) => ['x', root], 'No certificate found'],
      [
        'another identity',
        (_, [, root = '']) => [withOtherKey('spiffe://cluster.local/ns/shop/sa/tilt'), root],
        'SAN mismatch: want the one URI "spiffe://cluster.local/ns/shop/sa/till", the certificate has "spiffe://cluster.local/ns/shop/sa/tilt"',
      ],
      [
        'more identities than one',
        (_, [, root = '']) => [
          selfSigned({ uris: [TILL, 'spiffe://b'], notAfterMs: Date.now() + 60_000 })
            .certificatePem,
          root,
        ],
        'SAN mismatch',
      ],
      ['no identity', (_, [, root = '']) => [root, root], 'the certificate has none'],
      ['another key', (_, [, root = '']) => [withOtherKey(TILL), root], 'for another key'],
      [
        'a long chain',
        (_, [leaf = '', root = '']) => [leaf, ...Array<string>(15).fill(root), root],
        'has 17 entries: want at most 16',
      ],
    ];

    for (const [what, given, reason] of wrong) {
      it(`refuses ${what}`, async () => {
        answer = given;
        const said = await failure();
        expect(said).to.match(
          /^retryable: The certificate authority at https:\/\/127.0.0.1:\d+ answered wrongly: /,
        );
        expect(said).to.include(reason);
      });
    }

    it('refuses a message that is too large', async () => {
      answer = (_, [leaf = '', root = '']) => [leaf, '#'.repeat(1_100_000) + root];
      expect(await failure()).to.include('RESOURCE_EXHAUSTED');
    });

    it('takes intermediates between leaf and roots, and ends with the first that ends', async () => {
      const short = selfSigned({ uris: ['a:b'], notAfterMs: Date.now() + 60_000 }).certificatePem;
      answer = (_, [leaf = '', root = '']) => [leaf, short, root + root];
      const result = await sign();
      if (result.kind === 'failed') throw new Error(result.reason);
      expect(result.chainPem).to.have.length(2);
      expect(result.notAfterMs).to.be.below(Date.now() + 61_000);
      const roots = readCertificates(result.rootsPem);
      expect(roots.kind === 'certificates' && roots.certificates).to.have.length(2);
    });
  });

  describe('when the authority refuses', () => {
    for (const [status, retryable, words] of [
      [
        Status.UNAUTHENTICATED,
        'retryable',
        'does not accept our request for "spiffe://cluster.local/ns/shop/sa/till": no Bearer [token]. Check that the token (AUTH_TOKEN)',
      ],
      [Status.PERMISSION_DENIED, 'final', 'Check that CA_TRUSTED_NODE_ACCOUNTS'],
      [Status.UNIMPLEMENTED, 'final', 'has no certificate service'],
      [Status.INVALID_ARGUMENT, 'final', 'refuses the request'],
      [
        Status.INTERNAL,
        'retryable',
        'failed to sign for "spiffe://cluster.local/ns/shop/sa/till": INTERNAL: no',
      ],
    ] as const) {
      it(`says what to look at for ${Status[status]}, and leaves out the token`, async () => {
        answer = ({ authorization }) => ({ status, details: `no ${authorization}` });
        const said = await failure();
        expect(said).to.match(new RegExp(`^${retryable}: `));
        expect(said).to.include(words);
      });
    }

    it('passes on one bounded line of its words', async () => {
      answer = () => ({ status: Status.INTERNAL, details: `a\nb\x1b[31m${'x'.repeat(1_000)}` });
      const said = await failure();
      expect(said).to.match(/^[\x20-\x7e]+…$/);
      expect(said.length).to.be.below(700);
    });
  });

  describe('when the authority can not be had', () => {
    before(() => {
      answer = (_, chain) => chain;
    });

    it('names the address of one that is away, and comes back to it when it is there', async () => {
      const kept = join(directory, 'kept');
      const first = await startCertificateAuthority({ listen: '127.0.0.1:0', directory: kept });
      const { address } = first;
      await first[Symbol.asyncDispose]();
      const root = { kind: 'inline', text: first.rootPem } as const;
      const client = newClient({ address, root });
      const { signal } = new AbortController();
      const away = await client.sign(TILL, signal);
      expect(away).to.deep.include({ kind: 'failed', retryable: true });
      expect(away.kind === 'failed' && away.reason).to.match(
        /^The certificate authority at https:\/\/127.0.0.1:\d+ cannot be reached: connect ECONNREFUSED 127.0.0.1:\d+. Check that it runs and that CA_ADDRESS is right$/,
      );
      // At once: no connection state of an earlier attempt may stand in the way.
      const second = await startCertificateAuthority({
        listen: address.slice('https://'.length),
        directory: kept,
      });
      const there = await client.sign(TILL, signal);
      await second[Symbol.asyncDispose]();
      expect(there).to.have.property('kind', 'signed');
    });

    it('says the same each time that one with TLS is spoken to in plain text, and what it may be', async () => {
      const { address } = authority;
      const client = newClient({ address: address.replace('https:', 'http:') });
      const { signal } = new AbortController();
      const first = await client.sign(TILL, signal);
      expect(first.kind === 'failed' && first.reason).to.match(
        /an authority with TLS wants "https:/,
      );
      expect(await client.sign(TILL, signal)).to.deep.equal(first);
    });

    it('says so when its certificate is of another root', async () => {
      const { certificatePem } = selfSigned({ uris: ['a:b'], notAfterMs: Date.now() + 60_000 });
      expect(await failure({ root: { kind: 'inline', text: certificatePem } })).to.match(
        /^retryable: .* is not the one that we trust: .*Check CA_ROOT_CA/,
      );
    });

    it('accepts the host of the address or the alternative name, and nothing else', async () => {
      // This one's certificate is for localhost, istiod.istio-system.svc and its own address.
      const address = authority.address.replace('127.0.0.1', 'localhost');
      expect(await sign({ address, alternativeHostname: 'other' })).to.have.property(
        'kind',
        'signed',
      );
      await using far = await startCertificateAuthority({ listen: '0.0.0.0:0' });
      const port = new URL(far.address).port;
      const given = {
        address: `https://127.1.2.3:${port}`,
        root: { kind: 'inline', text: far.rootPem },
      } as const;
      expect(await failure(given)).to.match(/is not the one that we trust: .*altnames/);
      expect(await failure({ ...given, alternativeHostname: 'other' })).to.match(
        /is not the one that we trust: .*altnames.*ALT_CA_HOSTNAME/,
      );
      const alternativeHostname = 'istiod.istio-system.svc';
      expect(await sign({ ...given, alternativeHostname })).to.have.property('kind', 'signed');
    });

    it('gives up at its deadline on one that says nothing', async () => {
      const silent = createServer((socket) => socket.resume());
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      try {
        const { port } = silent.address() as AddressInfo;
        const said = await failure({ address: `https://127.0.0.1:${port}`, deadlineMs: 100 });
        expect(said).to.match(/^retryable: .* did not answer in time/);
      } finally {
        silent.close();
      }
    });

    it('stops when it is told to', async () => {
      const stop = new AbortController();
      answer = (_, chain) => {
        stop.abort();
        return new Promise((resolve) => {
          setImmediate(resolve, chain);
        });
      };
      const result = await newClient().sign(TILL, stop.signal);
      expect(result.kind === 'failed' && result.reason).to.include('CANCELLED');
    });
  });

  describe('when a file is missing or wrong', () => {
    for (const [what, given, reason] of [
      [
        'token',
        { token: { kind: 'file', path: '/nonexistent/token' } },
        'retryable: No token for the certificate authority (AUTH_TOKEN): Cannot read "/nonexistent/token": there is no such file',
      ],
      [
        'token',
        { token: { kind: 'inline', text: ' \n' } },
        'retryable: The token given in AUTH_TOKEN is empty',
      ],
      [
        'token',
        { token: { kind: 'inline', text: 'two\nlines' } },
        'retryable: The token given in AUTH_TOKEN is not one',
      ],
      [
        'root',
        { root: { kind: 'file', path: '/nonexistent/root.pem' } },
        '(CA_ROOT_CA): Cannot read "/nonexistent/root.pem": there is no such file',
      ],
      [
        'root',
        { root: { kind: 'inline', text: 'PEM' } },
        '(CA_ROOT_CA): Cannot use the text given: No certificate found: want PEM',
      ],
    ] as const) {
      it(`says which ${what}: ${reason.slice(0, 60)}…`, async () => {
        expect(await failure(given)).to.include(reason);
      });
    }

    it('sends no request without a token', async () => {
      await failure({ token: { kind: 'inline', text: '' } });
      expect(calls).to.deep.equal([]);
    });
  });
});
