import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import {
  inClusterCredentials,
  inClusterNamespace,
  kubeconfigCredentials,
  readKubeconfig,
} from '#kube/config.ts';

let directory: string;

function setUp(): void {
  directory = mkdtempSync(join(tmpdir(), 'ambit-kube-'));
}

function tearDown(): void {
  rmSync(directory, { recursive: true });
}

function file(name: string, text: string): void {
  writeFileSync(join(directory, name), text);
}

describe('inClusterCredentials()', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

  it('finds the server in the environment and reads a token again that has been replaced', () => {
    file('ca.crt', 'CA');
    file('token', 'one\n');
    file('namespace', 'shop\n');
    const credentials = inClusterCredentials(env, directory);
    expect(credentials).to.include({ server: 'https://10.96.0.1:443', caPem: 'CA' });
    expect(credentials.token?.()).to.equal('one');
    file('token', 'two');
    expect(credentials.token?.()).to.equal('two');
    expect(inClusterNamespace(directory)).to.equal('shop');
  });

  it('writes an IPv6 address as an address of a server', () => {
    file('ca.crt', 'CA');
    file('token', 'one');
    const v6 = { ...env, KUBERNETES_SERVICE_HOST: 'fd00::1' };
    expect(inClusterCredentials(v6, directory).server).to.equal('https://[fd00::1]:443');
  });

  it('says what is missing', () => {
    expect(() => inClusterCredentials({}, directory)).to.throw('KUBERNETES_SERVICE_HOST');
    expect(() => inClusterCredentials(env, directory)).to.throw('token of the service account');
  });
});

describe('readKubeconfig()', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('reads certificates from its own text', () => {
    const text = config(
      `{client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')}}`,
    );
    expect(readKubeconfig(text)).to.deep.equal({
      credentials: {
        server: 'https://127.0.0.1:6443',
        caPem: 'CA',
        clientCertificatePem: 'CERT',
        clientKeyPem: 'KEY',
      },
      namespace: 'shop',
    });
  });

  it('reads certificates from files beside it', () => {
    file('ca.pem', 'CA of a file');
    file('me.pem', 'CERT');
    file('me.key', 'KEY');
    const text = config(
      '{client-certificate: me.pem, client-key: me.key}',
      'certificate-authority: ca.pem',
    );
    expect(readKubeconfig(text, { directory }).credentials).to.include({
      caPem: 'CA of a file',
      clientCertificatePem: 'CERT',
      clientKeyPem: 'KEY',
    });
  });

  it('takes the token of a file again each time', () => {
    file('token', 'one');
    const { credentials } = readKubeconfig(config('tokenFile: token'), { directory });
    expect(credentials.token?.()).to.equal('one');
    file('token', 'two');
    expect(credentials.token?.()).to.equal('two');
  });

  it('takes the context that is asked for', () => {
    const found = readKubeconfig(config('token: abc'), { context: 'there' });
    expect(found.namespace).to.equal('default');
    expect(found.credentials.token).to.equal(undefined);
  });

  const refusals: readonly (readonly [string, string, string])[] = [
    ['a list', '[]', 'its kubeconfig is not a map'],
    ['a file without contexts', 'current-context: a', 'it has no context "a"'],
    ['a file without a current context', 'kind: Config', 'it has no current-context'],
    ['a program that signs in', config('exec: {command: aws}'), 'signs in by "exec"'],
    [
      'a server that nobody checks',
      config('token: a', 'insecure-skip-tls-verify: true'),
      'insecure-skip-tls-verify',
    ],
  ];
  for (const [what, text, message] of refusals) {
    it(`refuses ${what}`, () => {
      expect(() => kubeconfigCredentials(text)).to.throw(message);
    });
  }
});

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function config(user: string, cluster = `certificate-authority-data: ${base64('CA')}`): string {
  return `
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: there, context: {cluster: one, user: nobody}}
- {name: here, context: {cluster: one, user: me, namespace: shop}}
clusters:
- name: one
  cluster:
    server: https://127.0.0.1:6443
    ${cluster}
users:
- name: me
  user:
    ${user}
- name: nobody
  user: {}
`;
}
