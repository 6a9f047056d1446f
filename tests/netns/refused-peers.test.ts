import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { writeCertificate } from '#common/tls/x509-writer.ts';
import { identityOf } from '#tests/bed/mesh-configuration.ts';
import type { Pod } from '#tests/bed/world.ts';

import { accessLine, Mesh, mark } from './support/mesh.ts';

const MINUTE_MS = 60_000;
const ORGANIZATION = 'cluster.local';

interface Issued {
  readonly uris: readonly string[];
  /** Signed by another authority of the same name. */
  readonly byStranger?: boolean;
  readonly notAfterMs?: number;
}

interface Peer extends Partial<Issued> {
  readonly what: string;
  /** Further options of `openssl s_client`. */
  readonly options?: readonly string[];
  /** The alert that the peer gets. */
  readonly alert: RegExp;
  /** The reason in the log. */
  readonly error: RegExp;
}

const H2 = ['-alpn', 'h2'];
const TILL = 'spiffe://cluster.local/ns/default/sa/till';

// openssl on the node, in the place of another node's tunnel ─▶ shop:15008
describe('a tunnel', function () {
  let mesh: Mesh;
  let shop: Pod;
  let files = 0;

  before(async () => {
    mesh = await Mesh.start({
      prefix: 'ambit-peers',
      nodes: [{ name: 'node', pods: [{ name: 'shop' }] }],
    });
    shop = mesh.pod('shop');
  });

  after(async () => mesh?.[Symbol.asyncDispose]());

  function file(ending: string, text: string): string {
    const path = join(mesh.world.directory, `peer-${files++}.${ending}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** The options by which openssl shows a certificate. */
  function show({ uris, byStranger = false, notAfterMs }: Issued): readonly string[] {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const authority = join(mesh.world.directory, 'authority');
    const root = byStranger
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : {
          privateKey: createPrivateKey(readFileSync(join(authority, 'root.key'))),
          publicKey: new X509Certificate(readFileSync(join(authority, 'root.pem'))).publicKey,
        };
    const certificate = writeCertificate({
      issuer: ORGANIZATION,
      subject: undefined,
      names: { uris },
      notBeforeMs: Date.now() - 10 * MINUTE_MS,
      notAfterMs: notAfterMs ?? Date.now() + 10 * MINUTE_MS,
      publicKey,
      issuerPrivateKey: root.privateKey,
      issuerPublicKey: root.publicKey,
      authority: false,
      endpoint: true,
    });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
    return ['-cert', file('pem', certificate), '-key', file('key', key)];
  }

  /** What openssl says until the tunnel ends the connection. */
  async function call(options: readonly string[], input: string): Promise<string> {
    const command = ['openssl', 's_client', '-connect', `${shop.ipv4}:15008`, '-ign_eof'];
    const result = await mesh.world.run(shop.node, [...command, ...options], {
      input,
      deadlineMs: 8_000,
    });
    expect(result.signal, 'the tunnel ends the connection').to.equal(null);
    return result.stdout + result.stderr;
  }

  it('lets in a peer of the mesh, which then has to speak HTTP/2', async () => {
    const from = mark(mesh.tunnel('node'));
    const said = await call(
      [...H2, ...show({ uris: [TILL] })],
      'HELO neighbour, this is no HTTP\n',
    );
    expect(said).to.include('ALPN protocol: h2').and.include('TLSv1.3');
    expect(said).to.not.match(/alert/);
    const line = await accessLine(from, /connection failed/);
    expect(line.get('error')).to.match(/HTTP\/2/);
  });

  it('shows the identity of its pod, signed by the root of the mesh', async () => {
    const root = join(mesh.world.directory, 'authority', 'root.pem');
    const options = [...H2, ...show({ uris: [TILL] }), '-CAfile', root, '-showcerts'];
    const from = mark(mesh.tunnel('node'));
    const said = await call(options, 'no HTTP\n');
    await accessLine(from, /connection failed/);
    expect(said).to.include('Verify return code: 0 (ok)');
    const pem = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(said)?.[0];
    expect(new X509Certificate(pem ?? '').subjectAltName).to.equal(`URI:${identityOf(shop)}`);
  });

  const peers: readonly Peer[] = [
    {
      what: 'of another trust domain',
      uris: ['spiffe://elsewhere.example/ns/default/sa/till'],
      alert: /access denied/,
      error:
        /identity error: trust domain of .*spiffe:\/\/elsewhere\.example\/.* is not .*cluster\.local/,
    },
    {
      what: 'with two SPIFFE names',
      uris: [TILL, 'spiffe://cluster.local/ns/default/sa/admin'],
      alert: /access denied/,
      error: /identity error: the peer has more than one SPIFFE name/,
    },
    {
      what: 'whose name is not one of a workload',
      uris: ['spiffe://cluster.local/some/thing'],
      alert: /access denied/,
      error: /identity error: the peer has no SPIFFE name of a workload/,
    },
    {
      what: 'without a certificate',
      alert: /certificate required/,
      error: /peer did not return a certificate/,
    },
    {
      what: 'whose certificate another authority has signed',
      uris: [TILL],
      byStranger: true,
      alert: /unknown ca|decrypt error|bad certificate/,
      error: /tls error: .*certificate/,
    },
    {
      what: 'whose certificate has ended',
      uris: [TILL],
      notAfterMs: Date.now() - MINUTE_MS,
      alert: /certificate expired/,
      error: /certificate has expired/,
    },
    {
      what: 'that asks for no protocol',
      uris: [TILL],
      options: [],
      alert: /no application protocol/,
      error: /tls error: The peer has not agreed to/,
    },
    {
      what: 'that wants another protocol',
      uris: [TILL],
      options: ['-alpn', 'http/1.1'],
      alert: /no application protocol/,
      error: /tls error: Handshake failed: no application protocol/,
    },
    {
      what: 'that speaks no TLS later than 1.2',
      uris: [TILL],
      options: [...H2, '-tls1_2'],
      alert: /protocol version/,
      error: /version|protocol/,
    },
  ];
  for (const { what, uris, options = H2, alert, error, ...issued } of peers) {
    it(`refuses a peer ${what}, and logs why`, async () => {
      const from = mark(mesh.tunnel('node'));
      const certificate = uris === undefined ? [] : show({ ...issued, uris });
      const said = await call([...options, ...certificate], '');
      expect(said).to.match(alert);
      const line = await accessLine(from, /connection failed/);
      expect(line.get('error')).to.match(error);
      expect(Object.fromEntries(line)).to.deep.include({
        'dst.addr': `${shop.ipv4}:15008`,
        direction: 'inbound',
      });
      expect(line.get('src.addr')).to.match(/^10\.99\.1\.1:\d+$/);
    });
  }

  it('serves on after all that', async () => {
    const said = await call([...H2, ...show({ uris: [TILL] })], 'no HTTP\n');
    expect(said).to.include('ALPN protocol: h2');
    expect(await mesh.page('node', ':15021/healthz/ready')).to.include({ status: 200 });
    const faults = (await mesh.metrics('node')).get('ambit_handler_faults_total');
    expect(faults).to.equal(0);
  });
});
