import {
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Client, Metadata, type ServiceError, status as Status } from '@grpc/grpc-js';

import { Transport } from './transport.ts';

export interface ChannelOptions {
  /** `https://host:port`, or `http://host:port` for plaintext. */
  readonly address: string;
  /** Who may have signed the server's certificate, PEM. Not looked at for plaintext. */
  readonly rootsPem: string;
  /** Another name that the server's certificate may carry, besides the host of the address. */
  readonly alternativeHostname?: string | undefined;
  readonly receivedMessageBytesMax: number;
}

/** One call's outcome. A failure is the server's status, or gRPC's own for a connection that failed. */
export type CallResult<Response> =
  | { readonly kind: 'answered'; readonly response: Response }
  | { readonly kind: 'failed'; readonly status: Status; readonly details: string };

export interface CallOptions {
  /** Header name in lower case → value. */
  readonly headers: ReadonlyMap<string, string>;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

// A peer that vanishes while calls are open is noticed after 40 s at the latest.
const KEEPALIVE_TIME_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
// As long as the longest call may take: a connection that takes longer serves nobody.
const HANDSHAKE_DEADLINE_MS = 10_000;

/** The other side of a stream. Called one after the other. */
export interface StreamHandler<Response> {
  onMessage(message: Response): void;
  /** Once, as the last. `ok`: the server has ended it without complaint. */
  onEnd(end: StreamEnd): void;
}

export interface StreamEnd {
  readonly status: Status;
  readonly details: string;
}

/** Our side of a stream. After its end nothing is sent. */
export interface MessageStream<Request> {
  send(message: Request): void;
  cancel(): void;
}

/** A gRPC connection to one address. Opens with the first call; whoever made it closes it. */
export class Channel implements Disposable {
  readonly #client: Client;
  readonly #transport: Transport;
  #calls = 0;
  #disposed = false;

  /** @throws Error when `rootsPem` is not a PEM bundle. */
  constructor(options: ChannelOptions) {
    const url = new URL(options.address);
    const plaintext = url.protocol === 'http:';
    const { rootsPem, alternativeHostname } = options;
    this.#transport = new Transport({
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      tls: plaintext ? undefined : { rootsPem, alternativeHostname },
      handshakeDeadlineMs: HANDSHAKE_DEADLINE_MS,
    });
    const port = url.port === '' ? (plaintext ? '80' : '443') : url.port;
    this.#client = new Client(`dns:${url.hostname}:${port}`, this.#transport, {
      // Whether and when to try again is the caller's decision, in one place: no retries here, and no
      // connection state (a back-off of its own) shared with other channels to the same address.
      'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1,
      // Neither a proxy from the environment nor a TXT record may redirect control traffic.
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_receive_message_length': options.receivedMessageBytesMax,
    });
  }

  /** Sends one message and waits for the one answer. Never rejects. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options: CallOptions,
  ): Promise<CallResult<MessageShape<O>>> {
    const headers = metadata(options.headers);
    if (headers === undefined)
      return Promise.resolve(
        failed(Status.INVALID_ARGUMENT, 'A header holds a character it cannot'),
      );
    this.#calls++;
    return new Promise((resolve) => {
      const call = this.#client.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        request,
        headers,
        { deadline: Date.now() + options.deadlineMs },
        (error: ServiceError | null, response?: MessageShape<O>) => {
          options.signal.removeEventListener('abort', cancel);
          this.#finished();
          if (response !== undefined) resolve({ kind: 'answered', response });
          else resolve(failed(error?.code ?? Status.UNKNOWN, error?.details ?? 'No answer'));
        },
      );
      function cancel(): void {
        call.cancel();
      }
      if (options.signal.aborted) cancel();
      else options.signal.addEventListener('abort', cancel, { once: true });
    });
  }

  /** Opens a stream of messages in both directions. Never throws. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    headers: ReadonlyMap<string, string>,
    handler: StreamHandler<MessageShape<O>>,
  ): MessageStream<MessageShape<I>> {
    const call = this.#client.makeBidiStreamRequest(
      `/${method.parent.typeName}/${method.name}`,
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      metadata(headers) ?? new Metadata(),
    );
    this.#calls++;
    let open = true;
    call.on('data', (message: MessageShape<O>) => {
      if (open) handler.onMessage(message);
    });
    // Followed by a status, which says the same.
    call.on('error', () => undefined);
    call.on('status', ({ code, details }) => {
      open = false;
      this.#finished();
      handler.onEnd({ status: code, details });
    });
    if (metadata(headers) === undefined) call.cancel();
    return {
      send: (message) => {
        if (open) call.write(message);
      },
      cancel: () => call.cancel(),
    };
  }

  /** Calls under way come to their end; then the connection closes. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#client.close();
    if (this.#calls === 0) this.#transport.destroy();
  }

  #finished(): void {
    this.#calls--;
    if (this.#disposed && this.#calls === 0) this.#transport.destroy();
  }
}

/** Undefined when a name or value is not allowed in gRPC metadata. */
function metadata(headers: ReadonlyMap<string, string>): Metadata | undefined {
  const result = new Metadata();
  for (const [name, value] of headers) {
    // Checked here because gRPC's own error would quote the value, and the value may be a token.
    if (!/^[0-9a-z_.-]+$/.test(name) || name.endsWith('-bin') || !/^[ -~]*$/.test(value))
      return undefined;
    result.set(name, value);
  }
  return result;
}

function failed(status: Status, details: string): CallResult<never> {
  return { kind: 'failed', status, details };
}
