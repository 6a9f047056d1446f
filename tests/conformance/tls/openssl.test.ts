import { expect } from 'chai';
import { after, afterEach, describe, it } from 'mocha';

import { TlsContext, type TlsMaterial } from '#reactor/tls/context.ts';
import { cipherSuites } from '#reactor/tls/key-schedule.ts';
import { identityOptions, OpensslPeer } from '#tests/support/openssl-peer.ts';
import { APP, TestAuthority } from '#tests/support/tls-material.ts';
import { clientOf, handOver, Recorder, serveOne, useTlsBench } from '#tests/support/tls-sockets.ts';

const authority = new TestAuthority();
const stranger = new TestAuthority('Somebody else');
const ours = authority.issue();
const theirs = authority.issue({ names: { uris: ['spiffe://cluster.local/ns/x/sa/peer'] } });

describe('A TLS server of ours and openssl s_client', () => {
  const bench = useTlsBench();
  const context = new TlsContext(ours, { recordsPerKeyMax: 4 });
  const peers: OpensslPeer[] = [];
  const identity = identityOptions(authority, theirs);

  function connect(options: readonly string[]): { server: Recorder; peer: OpensslPeer } {
    const { port, server } = serveOne(bench, context);
    const peer = new OpensslPeer(['s_client', '-connect', `127.0.0.1:${port}`, ...options]);
    peers.push(peer);
    return { server, peer };
  }

  afterEach(async () => {
    for (const peer of peers.splice(0)) await peer.stop();
  });
  after(() => context.free());

  for (const { name } of cipherSuites) {
    it(`exchange data with ${name}`, async () => {
      const { server, peer } = connect(['-alpn', 'h2', '-ciphersuites', name, ...identity]);
      await peer.prints(/Verification: OK/);
      peer.line('from openssl');
      await server.until(() => server.text === 'from openssl\n');
      expect(server.peer?.uris).to.deep.equal(['spiffe://cluster.local/ns/x/sa/peer']);
      server.write('from us');
      await peer.prints(/from us/);
      expect(peer.output).to.include(`Cipher is ${name}`);
      server.socket.destroy();
    });
  }

  it('prefer AES-128 when the client has no wish, and agree on h2', async () => {
    const { peer } = connect(['-alpn', 'http/1.1,h2', ...identity]);
    await peer.prints(/Cipher is TLS_AES_128_GCM_SHA256/);
    await peer.prints(/ALPN protocol: h2/);
  });

  it('get on after KeyUpdates of the client that want an answer and that do not', async () => {
    const { server, peer } = connect(['-alpn', 'h2', ...identity]);
    await peer.prints(/Verification: OK/);
    for (const [index, command] of ['k', 'K', 'K', 'k', 'K'].entries()) {
      peer.line(command);
      await peer.prints(new RegExp(`(KEYUPDATE[^]*){${index + 1}}`));
      peer.line(`to us ${index}`);
      await server.until(() => server.text.endsWith(`to us ${index}\n`));
      // More records than one key takes: our own KeyUpdates are between them.
      for (let record = 0; record < 6; record++) server.write(`[${index}.${record}]`);
      await peer.prints(new RegExp(`\\[${index}\\.5\\]`));
    }
    peer.endInput();
    expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
  });

  it('get on when we move between the wish for new keys and our answer', async () => {
    const { server, peer } = connect(['-alpn', 'h2', ...identity]);
    await peer.prints(/Verification: OK/);
    peer.line('K');
    await peer.prints(/KEYUPDATE/);
    peer.line('under the next key');
    await server.until(() => server.text === 'under the next key\n');
    server.socket.freeze();
    const { keyUpdateOwed } = server.socket.export().writing;
    server.socket.thaw();
    expect(keyUpdateOwed).to.equal(true);
    handOver(bench, server);
    server.write('[answer]');
    await peer.prints(/\[answer\]/);
    peer.line('and on');
    await server.until(() => server.text.endsWith('and on\n'));
    server.socket.destroy();
  });

  it('tell an end from a cut', async () => {
    const polite = connect(['-alpn', 'h2', ...identity]);
    await polite.peer.prints(/Verification: OK/);
    polite.peer.line('Q');
    expect(await polite.server.untilEnd()).to.deep.equal({ kind: 'closed' });

    const cut = connect(['-alpn', 'h2', ...identity]);
    await cut.peer.prints(/Verification: OK/);
    cut.peer.kill('SIGKILL');
    expect(await cut.server.untilEnd()).to.deep.equal({ kind: 'truncated' });
  });

  it('end with close_notify when we do', async () => {
    const { server, peer } = connect(['-alpn', 'h2', ...identity]);
    await server.untilOpen();
    server.socket.end();
    await peer.prints(/closed/);
    expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
  });

  const refusals: readonly {
    readonly what: string;
    readonly options: () => string[];
    readonly code: string;
    readonly alert: RegExp;
  }[] = [
    {
      what: 'without a certificate',
      options: () => ['-alpn', 'h2'],
      code: 'TLS_HANDSHAKE_FAILED',
      alert: /alert certificate required/,
    },
    {
      what: 'with a certificate of somebody else',
      options: () => ['-alpn', 'h2', ...identityOptions(authority, stranger.issue())],
      code: 'TLS_CERTIFICATE_REFUSED',
      alert: /alert unknown ca/,
    },
    {
      what: 'with a certificate that has expired',
      options: () => [
        '-alpn',
        'h2',
        ...identityOptions(authority, authority.issue({ notAfterMs: Date.now() - 60_000 })),
      ],
      code: 'TLS_CERTIFICATE_REFUSED',
      alert: /alert certificate expired/,
    },
    {
      what: 'with a certificate for servers only',
      options: () => [
        '-alpn',
        'h2',
        ...identityOptions(authority, authority.issueRsa('serverAuth')),
      ],
      code: 'TLS_CERTIFICATE_REFUSED',
      alert: /alert unsupported certificate/,
    },
    {
      what: 'that speaks TLS 1.2 only',
      options: () => ['-tls1_2', '-alpn', 'h2', ...identity],
      code: 'TLS_HANDSHAKE_FAILED',
      alert: /alert protocol version/,
    },
    {
      what: 'that offers another protocol',
      options: () => ['-alpn', 'http/1.1', ...identity],
      code: 'TLS_HANDSHAKE_FAILED',
      alert: /alert no application protocol/,
    },
    {
      what: 'that offers no protocol',
      options: () => identity,
      code: 'TLS_NO_APPLICATION_PROTOCOL',
      alert: /alert no application protocol/,
    },
  ];
  for (const { what, options, code, alert } of refusals) {
    it(`refuse a client ${what}`, async () => {
      const { server, peer } = connect(options());
      expect(await server.untilEnd()).to.include({ kind: 'error', code });
      expect(server.peer).to.equal(undefined);
      await peer.prints(alert);
    });
  }

  it('take an RSA certificate for clients', async () => {
    const rsa = identityOptions(authority, authority.issueRsa('clientAuth'));
    const { server } = connect(['-alpn', 'h2', ...rsa]);
    await server.untilOpen();
    expect(server.peer?.uris).to.deep.equal([APP]);
  });

  it('give both names of a certificate that has two, in order', async () => {
    const uris = ['spiffe://cluster.local/ns/a/sa/b', 'spiffe://cluster.local/ns/c/sa/d'];
    const two = identityOptions(
      authority,
      authority.issue({ names: { uris, dns: ['a.example'] } }),
    );
    const { server, peer } = connect(['-alpn', 'h2', ...two]);
    server.refusal = 'two names';
    await peer.prints(/alert access denied/);
    expect(server.peer?.uris).to.deep.equal(uris);
    expect(server.peer?.dns).to.deep.equal(['a.example']);
  });
});

describe('A TLS client of ours and openssl s_server', () => {
  const bench = useTlsBench();
  const context = new TlsContext(ours, { recordsPerKeyMax: 4 });
  const peers: OpensslPeer[] = [];

  async function serve(
    material: TlsMaterial,
    options: readonly string[] = ['-alpn', 'h2', '-Verify', '1', '-verify_return_error'],
  ): Promise<{ client: Recorder; peer: OpensslPeer }> {
    const identity = identityOptions(authority, material);
    const words = ['s_server', '-accept', '127.0.0.1:0', '-naccept', '1', ...options, ...identity];
    const peer = new OpensslPeer(words);
    peers.push(peer);
    const [, port] = await peer.prints(/ACCEPT [^\n]*:(\d+)/);
    return { client: clientOf(bench, context, Number(port)), peer };
  }

  afterEach(async () => {
    for (const peer of peers.splice(0)) await peer.stop();
  });
  after(() => {
    context.free();
    authority.dispose();
    stranger.dispose();
  });

  it('exchange data, and session tickets change nothing', async () => {
    const options = ['-alpn', 'h2', '-Verify', '1', '-num_tickets', '4'];
    const { client, peer } = await serve(theirs, options);
    await client.untilOpen();
    expect(client.peer?.uris).to.deep.equal(['spiffe://cluster.local/ns/x/sa/peer']);
    client.write('from us\n');
    await peer.prints(/from us/);
    peer.line('from openssl');
    await client.until(() => client.text === 'from openssl\n');
    expect(peer.output).to.match(/ALPN protocols selected: h2/);
    client.socket.end();
    expect((await client.untilEnd()).kind).to.be.oneOf(['closed', 'truncated']);
  });

  it('get on after KeyUpdates of the server that want an answer and that do not', async () => {
    const { client, peer } = await serve(theirs);
    await client.untilOpen();
    for (const [index, command] of ['K', 'k', 'k', 'K'].entries()) {
      peer.line(command);
      // It takes one line per read as a command: let it come round before the next.
      client.write(`(${index})`);
      await peer.prints(new RegExp(`\\(${index}\\)`));
      peer.line(`to us ${index}`);
      await client.until(() => client.text.endsWith(`to us ${index}\n`));
      for (let record = 0; record < 6; record++) client.write(`[${index}.${record}]`);
      await peer.prints(new RegExp(`\\[${index}\\.5\\]`));
    }
    client.socket.destroy();
  });

  it('get over a HelloRetryRequest', async () => {
    const { client, peer } = await serve(theirs, [
      '-alpn',
      'h2',
      '-groups',
      'P-384',
      '-Verify',
      '1',
    ]);
    await client.untilOpen();
    client.write('after a second hello\n');
    await peer.prints(/after a second hello/);
    client.socket.destroy();
  });

  const refusals: readonly {
    readonly what: string;
    readonly material: () => TlsMaterial;
    readonly options?: readonly string[];
    readonly end: Record<string, string | number>;
    readonly alert: RegExp;
  }[] = [
    {
      what: 'with a certificate of somebody else',
      material: () => stranger.issue(),
      end: { code: 'TLS_CERTIFICATE_REFUSED' },
      alert: /alert unknown ca/,
    },
    {
      what: 'with a certificate that has expired',
      material: () => authority.issue({ notAfterMs: Date.now() - 60_000 }),
      end: { code: 'TLS_CERTIFICATE_REFUSED' },
      alert: /alert certificate expired/,
    },
    {
      what: 'with a certificate for clients only',
      material: () => authority.issueRsa('clientAuth'),
      end: { code: 'TLS_CERTIFICATE_REFUSED' },
      alert: /alert unsupported certificate/,
    },
    {
      what: 'that does not answer with h2',
      material: () => theirs,
      options: ['-Verify', '1'],
      end: { code: 'TLS_NO_APPLICATION_PROTOCOL' },
      alert: /alert no application protocol/,
    },
    {
      what: 'that speaks TLS 1.2 only',
      material: () => theirs,
      options: ['-tls1_2', '-alpn', 'h2'],
      end: { kind: 'alert', name: 'protocol_version' },
      alert: /unsupported protocol/,
    },
  ];
  for (const { what, material, options, end, alert } of refusals) {
    it(`refuse a server ${what}`, async () => {
      const { client, peer } = await serve(material(), options);
      expect(await client.untilEnd()).to.include(end);
      expect(client.peer).to.equal(undefined);
      await peer.prints(alert);
    });
  }

  it('hear why the server refuses our certificate', async () => {
    const foreign = { ...theirs, rootsPem: stranger.rootPem };
    const { client } = await serve(foreign);
    expect(await client.untilEnd()).to.deep.equal({ kind: 'alert', code: 48, name: 'unknown_ca' });
  });

  it('end truncated when the server is killed', async () => {
    const { client, peer } = await serve(theirs);
    await client.untilOpen();
    await peer.prints(/CIPHER is/);
    peer.kill('SIGKILL');
    expect(await client.untilEnd()).to.deep.equal({ kind: 'truncated' });
  });
});
