import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';

import type { Logger } from '#common/log/logger.ts';
import type { Informer } from '#kube/informer.ts';
import type { EndpointSlice, Service } from '#kube/resources.ts';
import { runCommand } from '#linux/command.ts';

import type { KubeletConfig } from './config.ts';
import { FORMAT_ERROR, NOT_IMPLEMENTED, readQuestion, writeAnswer } from './dns-message.ts';
import { answerQuestion, type DnsZone } from './dns-names.ts';

const PORT = 53;
/** What every resolver takes in a datagram (RFC 1035 section 4.2.1). */
const DATAGRAM_BYTES_MAX = 512;
const MESSAGE_BYTES_MAX = 65_535;
const CONNECTIONS_MAX = 64;
const IDLE_MS = 10_000;

/**
 * The cluster's name server, one per node: it has the cluster's address for it on the node itself, so that a question
 * never leaves the node.
 */
export class DnsServer {
  readonly #zone: DnsZone;
  readonly #address: string;
  readonly #log: Logger;
  #datagrams: DatagramSocket | undefined;
  #server: Server | undefined;

  constructor(
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    config: Pick<KubeletConfig, 'clusterDns' | 'clusterDomain'>,
    log: Logger,
  ) {
    this.#address = config.clusterDns;
    this.#log = log;
    this.#zone = {
      domain: config.clusterDomain,
      service: (namespace, name) => services.get(`${namespace}/${name}`),
      slices: (namespace, name) =>
        slices
          .list()
          .filter(
            ({ metadata }) =>
              metadata.namespace === namespace &&
              metadata.labels?.['kubernetes.io/service-name'] === name,
          ),
    };
  }

  start(): void {
    void this.#listen();
  }

  stop(): void {
    this.#datagrams?.close();
    this.#server?.close();
  }

  async #listen(): Promise<void> {
    const result = await runCommand('ip', [
      'address',
      'replace',
      `${this.#address}/32`,
      'dev',
      'lo',
    ]);
    if (result.kind === 'failed' || result.code !== 0) {
      const why = result.kind === 'failed' ? result.message : result.stderr;
      this.#log.error('the name server has no address', { why });
      return;
    }
    const fail = (error: Error): void => this.#log.error('the name server', { why: error.message });
    const datagrams = createSocket('udp4');
    this.#datagrams = datagrams;
    datagrams.on('error', fail);
    datagrams.on('message', (message, from) => {
      const answer = this.#answer(message, DATAGRAM_BYTES_MAX);
      if (answer !== undefined) datagrams.send(answer, from.port, from.address);
    });
    datagrams.bind(PORT, this.#address);
    this.#server = createServer((socket) => this.#serve(socket));
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('error', fail);
    this.#server.listen(PORT, this.#address);
  }

  /** Over TCP each message follows its length. */
  #serve(socket: Socket): void {
    let pending = Buffer.alloc(0);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0);
        const answer = this.#answer(pending.subarray(2, end), MESSAGE_BYTES_MAX);
        pending = Buffer.from(pending.subarray(end));
        if (answer === undefined) {
          socket.destroy();
          return;
        }
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      }
    });
  }

  #answer(message: Buffer, sizeMax: number): Buffer | undefined {
    const question = readQuestion(message);
    if (question === undefined) return undefined;
    if (question.operation !== 0) return writeAnswer(question, NOT_IMPLEMENTED, [], sizeMax);
    if (question.name.length > 255) return writeAnswer(question, FORMAT_ERROR, [], sizeMax);
    const { code, records } = answerQuestion(this.#zone, question.name, question.type);
    return writeAnswer(question, code, records, sizeMax);
  }
}
