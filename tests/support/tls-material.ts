import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Names, writeCertificate } from '#common/tls/x509-writer.ts';
import type { TlsMaterial } from '#reactor/tls/context.ts';

export interface LeafOptions {
  /** Default: one SPIFFE name. */
  readonly names?: Names;
  readonly notAfterMs?: number;
}

const DAY_MS = 86_400_000;
export const APP = 'spiffe://cluster.local/ns/default/sa/app';

/** A certificate authority of its own. */
export class TestAuthority {
  readonly rootPem: string;
  readonly #name: string;
  readonly #keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  /** Made when the first file is. */
  #folder: string | undefined;
  #files = 0;

  constructor(name = 'Test root') {
    this.#name = name;
    this.#keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.rootPem = this.#sign(name, this.#keys.publicKey, Date.now() + DAY_MS);
  }

  /** A leaf for clients and servers, its key, and this authority's root. */
  issue(options: LeafOptions = {}): TlsMaterial {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { names = { uris: [APP] }, notAfterMs = Date.now() + DAY_MS } = options;
    const leafPem = this.#sign(undefined, publicKey, notAfterMs, names);
    const privateKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    return { chainPem: [leafPem], privateKeyPem, rootsPem: this.rootPem };
  }

  /** A leaf that the openssl command makes: with an RSA key, and for `usage` only. */
  issueRsa(usage: string): TlsMaterial {
    const key = this.#fresh('key');
    const request = this.#fresh('csr');
    const leaf = this.#fresh('pem');
    const rootKey = this.#keys.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const extensions = `extendedKeyUsage=${usage}\nsubjectAltName=URI:${APP}\n`;
    openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', '/O=app', {
      '-keyout': key,
      '-out': request,
    });
    openssl('x509', '-req', '-CAcreateserial', '-days', '1', {
      '-in': request,
      '-CA': this.file('pem', this.rootPem),
      '-CAkey': this.file('key', rootKey),
      '-extfile': this.file('cnf', extensions),
      '-out': leaf,
    });
    return {
      chainPem: [readFileSync(leaf, 'utf8')],
      privateKeyPem: readFileSync(key, 'utf8'),
      rootsPem: this.rootPem,
    };
  }

  /** The path of a new file with `text`, for programs; gone with {@link dispose}. */
  file(ending: string, text: string): string {
    const path = this.#fresh(ending);
    writeFileSync(path, text);
    return path;
  }

  dispose(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  #sign(
    subject: string | undefined,
    publicKey: KeyObject,
    notAfterMs: number,
    names?: Names,
  ): string {
    return writeCertificate({
      issuer: this.#name,
      subject,
      ...(names === undefined ? {} : { names }),
      notBeforeMs: Math.min(Date.now(), notAfterMs) - DAY_MS,
      notAfterMs,
      publicKey,
      issuerPrivateKey: this.#keys.privateKey,
      issuerPublicKey: this.#keys.publicKey,
      authority: names === undefined,
      endpoint: names !== undefined,
    });
  }

  #fresh(ending: string): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), 'ambit-tls-'));
    return join(this.#folder, `${this.#files++}.${ending}`);
  }
}

function openssl(...given: (string | Record<string, string>)[]): void {
  const options = given.flatMap((part) =>
    typeof part === 'string' ? [part] : Object.entries(part).flat(),
  );
  execFileSync('openssl', options, { stdio: 'pipe' });
}
