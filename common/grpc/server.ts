import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket, type Server as TlsServer } from 'node:tls';

import {
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  status as Status,
  type sendUnaryData,
} from '@grpc/grpc-js';

/** The answer to a call that is not served. */
export interface Refusal {
  readonly status: Status;
  readonly details: string;
}

/** Who calls, as far as the transport knows. */
export interface CallContext {
  /** `ip:port`. */
  readonly peer: string;
  /** The first value of a header; undefined when there is none. */
  header(name: string): string | undefined;
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<{ readonly kind: 'answer'; readonly response: Response } | RefusedCall>;

export interface RefusedCall extends Refusal {
  readonly kind: 'refused';
}

/** The server's end of a stream: messages come decoded and go as bytes, which several streams can share. */
export interface StreamOutlet {
  /** False: the client takes no more for now; `onDrained` tells when it does. */
  write(message: Uint8Array): boolean;
  /** Ends the stream; undefined: well. */
  end(refusal?: Refusal): void;
}

export interface StreamInlet<Request> {
  /**
   * Nothing is read before it settles: what the client sends meanwhile stays with the client, as the transport's flow
   * control has it, but for some 64 KB. Never rejects. Undefined: read from the beginning.
   */
  readonly admission?: Promise<void>;
  onMessage(message: Request): void;
  onDrained(): void;
  /** Once: the client, the connection or we have ended it. */
  onClosed(): void;
}

export type StreamingHandler<Request> = (
  context: CallContext,
  outlet: StreamOutlet,
) => StreamInlet<Request>;

export interface ServerCertificate {
  /** Leaf first. */
  readonly chainPem: string;
  readonly privateKeyPem: string;
}

export interface GrpcServerOptions {
  readonly receivedMessageBytesMax: number;
  /** A connection is ended after this time (spread by a tenth), so that load can move. */
  readonly connectionAgeMs: number;
}

// What lives longer has been forgotten by its peer: pings every 30 s, an answer within 10 s.
const KEEPALIVE_TIME_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const AGE_GRACE_MS = 10_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Node tunnels have one connection each, plus one for certificates. */
const CONNECTIONS_MAX = 20_000;
/** ... and one stream, or some certificates that they ask for at a time. */
const STREAMS_PER_CONNECTION_MAX = 256;

/** gRPC over TLS, with a certificate that can be replaced while it runs. */
export class GrpcServer {
  readonly #grpc: Server;
  readonly #injector: ReturnType<Server['createConnectionInjector']>;
  readonly #sockets = new Set<Socket>();
  #tls: TlsServer | undefined;

  constructor(options: GrpcServerOptions) {
    this.#grpc = new Server({
      'grpc.max_receive_message_length': options.receivedMessageBytesMax,
      'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION_MAX,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_connection_age_ms': options.connectionAgeMs,
      'grpc.max_connection_age_grace_ms': AGE_GRACE_MS,
    });
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Before listening. */
  addUnary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    handler: UnaryHandler<MessageShape<I>, MessageShape<O>>,
  ): void {
    this.#grpc.addService(
      {
        [method.name]: {
          path: pathOf(method),
          requestStream: false,
          responseStream: false,
          requestSerialize: identity,
          requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
          responseSerialize: (message: MessageShape<O>) =>
            Buffer.from(toBinary(method.output, message)),
          responseDeserialize: identity,
        },
      },
      {
        [method.name]: (
          call: ServerUnaryCall<MessageShape<I>, MessageShape<O>>,
          reply: sendUnaryData<MessageShape<O>>,
        ) => {
          void answer(handler(call.request, contextOf(call)), reply);
        },
      },
    );
  }

  /** Before listening. */
  addStreaming<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    handler: StreamingHandler<MessageShape<I>>,
  ): void {
    this.#grpc.addService(
      {
        [method.name]: {
          path: pathOf(method),
          requestStream: true,
          responseStream: true,
          requestSerialize: identity,
          requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
          responseSerialize: identity,
          responseDeserialize: identity,
        },
      },
      {
        [method.name]: (call: ServerDuplexStream<MessageShape<I>, Buffer>) => {
          serveStream(call, handler);
        },
      },
    );
  }

  /** Opens the port; 0 takes a free one. Answers the port. */
  listen(host: string, port: number, certificate: ServerCertificate): Promise<number> {
    const server = createServer(
      {
        ...secureContext(certificate),
        ALPNProtocols: ['h2'],
        minVersion: 'TLSv1.2',
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      (socket: TLSSocket) => this.#injector.injectConnection(socket),
    );
    server.maxConnections = CONNECTIONS_MAX;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    // A client without TLS, or one that goes in the middle of the handshake: its own affair.
    server.on('tlsClientError', () => undefined);
    this.#tls = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve((server.address() as AddressInfo).port);
      });
    });
  }

  /** For connections from now on. @throws Error when key and certificate don't belong together. */
  replaceCertificate(certificate: ServerCertificate): void {
    this.#tls?.setSecureContext(secureContext(certificate));
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Takes no more connections, tells clients to go elsewhere, cuts what is left after the grace time. */
  async close(graceMs: number): Promise<void> {
    const server = this.#tls;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    this.#injector.drain(graceMs);
    const cut = setTimeout(() => {
      this.#injector.destroy();
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(cut);
    this.#injector.destroy();
    this.#grpc.forceShutdown();
  }
}

async function answer<Response>(
  result: ReturnType<UnaryHandler<never, Response>>,
  reply: sendUnaryData<Response>,
): Promise<void> {
  try {
    const made = await result;
    if (made.kind === 'answer') reply(null, made.response);
    else reply({ code: made.status, details: made.details });
  } catch {
    // A bug of the handler's, which reports it: callers are not told about our insides.
    reply({ code: Status.INTERNAL, details: 'Internal error' });
  }
}

function serveStream<Request>(
  call: ServerDuplexStream<Request, Buffer>,
  handler: StreamingHandler<Request>,
): void {
  let open = true;
  const inlet = handler(contextOf(call), {
    write: (message) => open && call.write(identity(message)),
    end: (refusal) => {
      if (!open) return;
      if (refusal === undefined) call.end();
      else {
        const error = { code: refusal.status, details: refusal.details, metadata: new Metadata() };
        call.emit('error', error);
      }
      closed();
    },
  });
  function closed(): void {
    if (!open) return;
    open = false;
    // Called even when it was us, so that there is one place that cleans up.
    queueMicrotask(() => inlet.onClosed());
  }
  function read(): void {
    if (!open) return;
    call.on('data', (message: Request) => {
      if (open) inlet.onMessage(message);
    });
  }
  if (inlet.admission === undefined) read();
  else void inlet.admission.then(read);
  call.on('drain', () => {
    if (open) inlet.onDrained();
  });
  call.on('end', () => {
    if (open) call.end();
    closed();
  });
  call.on('cancelled', closed);
  call.on('close', closed);
  call.on('error', closed);
}

function contextOf(call: { readonly metadata: Metadata; getPeer(): string }): CallContext {
  return {
    peer: call.getPeer(),
    header: (name) => call.metadata.get(name)[0]?.toString(),
  };
}

function secureContext({ chainPem, privateKeyPem }: ServerCertificate) {
  return { cert: chainPem, key: privateKeyPem, minVersion: 'TLSv1.2' } as const;
}

function pathOf(method: { readonly parent: { readonly typeName: string }; readonly name: string }) {
  return `/${method.parent.typeName}/${method.name}`;
}

function identity(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
