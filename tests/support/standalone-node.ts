import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import type { Pod } from '#kube/resources.ts';
import { issueCertificate, newAuthority } from '#playground/api-server/certificates.ts';
import { must, type Result, type Running, run, start } from '#tests/bed/process.ts';

const POLL_MS = 100;
const SERVER = 'https://172.18.0.2:10250';

/** A node of the playground with namespaces of its own, which runs the pods that it is given. */
export class StandaloneNode implements AsyncDisposable {
  readonly directory: string;
  readonly #running: Running;
  #pid = '';

  private constructor(directory: string) {
    this.directory = directory;
    const inside = 'mount -t tmpfs none /run && "$@"; exit $?';
    const program = join(import.meta.dirname, '../bed/programs/standalone-node.ts');
    const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const command = [process.execPath, program, directory, join(directory, 'manifests')];
    this.#running = start(['unshare', ...namespaces, 'sh', '-c', inside, 'sh', ...command]);
  }

  static async start(): Promise<StandaloneNode> {
    const directory = mkdtempSync(join(tmpdir(), 'ambit-node-'));
    mkdirSync(join(directory, 'manifests'));
    const authority = newAuthority(Date.now());
    const own = issueCertificate(
      authority,
      { commonName: 'test', organizations: ['system:masters'], dns: ['node'] },
      Date.now(),
    );
    writeFileSync(join(directory, 'authority.pem'), authority.certificatePem);
    writeFileSync(join(directory, 'node.pem'), own.certificatePem);
    writeFileSync(join(directory, 'node.key'), own.privateKeyPem);
    const user = issueCertificate(authority, { commonName: 'user' }, Date.now());
    writeFileSync(join(directory, 'user.pem'), user.certificatePem);
    writeFileSync(join(directory, 'user.key'), user.privateKeyPem);
    const node = new StandaloneNode(directory);
    await node.#running.waitFor(/^started$/);
    node.#pid = readFileSync(
      `/proc/${node.#running.pid}/task/${node.#running.pid}/children`,
      'utf8',
    ).trim();
    await node.until(async () => (await node.get('/healthz')) === 'ok', 'the kubelet listens');
    return node;
  }

  /** Gives it a manifest; its pod starts. The same name again changes it. */
  apply(name: string, object: unknown): void {
    writeFileSync(join(this.directory, 'manifests', `${name}.json`), JSON.stringify(object));
  }

  /** Takes a manifest away; its pod ends. */
  delete(name: string): void {
    rmSync(join(this.directory, 'manifests', `${name}.json`));
  }

  /** Asks the kubelet: as the API server does, or as somebody else of the cluster. */
  async get(path: string, as: 'node' | 'user' = 'node'): Promise<string> {
    const own = (name: string): string => join(this.directory, name);
    const keys = ['--cert', own(`${as}.pem`), '--key', own(`${as}.key`), '--insecure'];
    const result = await this.inNode([
      'curl',
      '--silent',
      '--max-time',
      '5',
      ...keys,
      SERVER + path,
    ]);
    return result.stdout;
  }

  async pods(): Promise<readonly Pod[]> {
    const list = JSON.parse(await this.get('/pods')) as { items: readonly Pod[] };
    return list.items;
  }

  async pod(name: string): Promise<Pod | undefined> {
    return (await this.pods()).find(({ metadata }) => metadata.name === name);
  }

  /** The pod's status as soon as `holds` is true of it. */
  async podUntil(name: string, holds: (pod: Pod) => boolean): Promise<Pod> {
    let last: Pod | undefined;
    await this.until(
      async () => {
        last = await this.pod(name);
        return last !== undefined && holds(last);
      },
      () => `pod ${name}: ${JSON.stringify(last?.status, undefined, 1)}\n${this.log()}`,
    );
    return last as Pod;
  }

  async logs(pod: string, container: string, query = ''): Promise<string> {
    return this.get(`/containerLogs/default/${pod}/${container}${query}`);
  }

  /** What the kubelet itself has said. */
  log(): string {
    return readFileSync(join(this.directory, 'kubelet.log'), 'utf8');
  }

  /** Runs a program in the network of the cluster, beside the node. */
  async inNode(command: readonly string[]): Promise<Result> {
    return run(['nsenter', `--target=${this.#pid}`, '--net', '--', ...command]);
  }

  async until(holds: () => Promise<boolean>, what: string | (() => string)): Promise<void> {
    for (const deadlineMs = Date.now() + 15_000; ; await wait(POLL_MS)) {
      if (await holds().catch(() => false)) return;
      if (Date.now() < deadlineMs) continue;
      const text = typeof what === 'string' ? what : what();
      throw new Error(`Waited for too long: ${text}\n${this.#running.lines.join('\n')}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop();
    await must(['rm', '-rf', this.directory]);
  }
}
