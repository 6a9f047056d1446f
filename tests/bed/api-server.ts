// An API server of the playground in this process, with a directory of its own, for tests.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { LogLevels, parseLogFilter } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import type { KubeCredentials } from '#kube/transport.ts';
import { ApiServerApp } from '#playground/api-server/app.ts';
import {
  issueCertificate,
  type KeyedCertificate,
  kubeconfigText,
} from '#playground/api-server/certificates.ts';
import { type ClusterCredentials, openCredentials } from '#playground/api-server/credentials.ts';

/** How a request is made and by whom. */
export interface Asking {
  readonly method?: string;
  readonly as?: KeyedCertificate;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | object;
}

export interface Answered {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body as JSON. */
  json(): unknown;
}

export interface TestApiServer extends AsyncDisposable {
  readonly app: ApiServerApp;
  readonly credentials: ClusterCredentials;
  readonly port: number;
  /** `https://127.0.0.1:port`. */
  readonly url: string;
  /** A directory that goes away with the server. */
  readonly directory: string;
  /** A client certificate for any user. */
  user(name: string, ...groups: string[]): KeyedCertificate;
  /** What a `KubeClient` signs in with: as the administrator unless it says otherwise. */
  access(as?: KeyedCertificate): KubeCredentials;
  /** A file for `kubectl --kubeconfig`: as the administrator unless it says otherwise. */
  kubeconfig(as?: KeyedCertificate): string;
  /** One request over HTTP/1.1; as the administrator unless it says otherwise. */
  ask(path: string, asking?: Asking): Promise<Answered>;
}

/** Starts a server on a free port of the loopback interface; errors in its log fail loudly. */
export async function startApiServer(): Promise<TestApiServer> {
  const directory = mkdtempSync(join(tmpdir(), 'api-server-'));
  const credentials = openCredentials(directory, {
    serverNames: [],
    serverAddresses: [],
    nowMs: Date.now(),
  });
  const app = new ApiServerApp({
    credentials,
    listen: [{ host: '127.0.0.1', port: 0 }],
    logger: errorLogger(),
  });
  const [address] = await app.start();
  const port = address?.port ?? 0;
  const url = `https://127.0.0.1:${port}`;
  const authorityPem = credentials.authority.certificatePem;
  const ask = (path: string, asking: Asking = {}): Promise<Answered> =>
    askOnce(port, path, credentials, asking);
  let files = 0;
  return {
    app,
    credentials,
    port,
    url,
    directory,
    access: (as = credentials.admin) => ({
      server: url,
      caPem: authorityPem,
      clientCertificatePem: as.certificatePem,
      clientKeyPem: as.privateKeyPem,
    }),
    kubeconfig(as = credentials.admin) {
      files += 1;
      const file = join(directory, `kubeconfig-${files}`);
      const text = kubeconfigText({ name: 'test', server: url, authorityPem, user: as });
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    },
    user: (commonName, ...organizations) =>
      issueCertificate(credentials.authority, { commonName, organizations }, Date.now()),
    ask,
    async [Symbol.asyncDispose]() {
      await app.stop();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Errors only, on the standard error output: a test that causes none shows nothing. */
export function errorLogger(): Logger {
  const read = parseLogFilter('error');
  if (read.kind === 'refused') throw new Error(read.problem);
  const sink = {
    writeLine(line: string) {
      process.stderr.write(`${line}\n`);
    },
  };
  const output = {
    levels: new LogLevels(read.filter),
    format: 'text',
    sink,
    now: Date.now,
  } as const;
  return new Logger(output, 'apiserver');
}

function askOnce(
  port: number,
  path: string,
  credentials: ClusterCredentials,
  asking: Asking,
): Promise<Answered> {
  const { method = 'GET', token, headers = {}, body } = asking;
  const as = asking.as ?? (token === undefined ? credentials.admin : undefined);
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const sent = typeof body === 'object' ? JSON.stringify(body) : body;
  // Said for every method: Node says it of itself only for those that usually have a body.
  const length = sent === undefined ? {} : { 'content-length': Buffer.byteLength(sent) };
  const type = typeof body === 'object' ? { 'content-type': 'application/json' } : {};
  const request = httpsRequest(
    {
      host: '127.0.0.1',
      port,
      path,
      method,
      ca: credentials.authority.certificatePem,
      ...(as === undefined ? {} : { cert: as.certificatePem, key: as.privateKeyPem }),
      headers: { ...authorization, ...type, ...length, ...headers },
      agent: false,
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({
          code: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: (): unknown => JSON.parse(text),
        });
      });
    },
  );
  request.on('error', reject);
  request.end(sent);
  return promise;
}
