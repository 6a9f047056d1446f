import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Flip {
  /** Of which stream: what the client sends, or what the server sends. */
  readonly from: 'client' | 'server';
  /** The byte, counted from the stream's beginning; one that never comes changes nothing. */
  readonly offset: number;
  readonly bit: number;
  /** Sizes in which both streams are passed on, again and again. */
  readonly pieces: readonly number[];
}

/** Passes one TCP connection on to a port of 127.0.0.1, with one bit of it flipped. */
export class FlippingProxy {
  /** Has the byte come? */
  flipped = false;
  readonly #server: Server;
  readonly #flip: Flip;

  constructor(target: number, flip: Flip) {
    this.#flip = flip;
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      this.#server.close();
      const server = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
      this.#pass(client, server, 'client');
      this.#pass(server, client, 'server');
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  #pass(from: Socket, to: Socket, side: Flip['from']): void {
    const { offset, bit, pieces } = this.#flip;
    let seen = 0;
    let piece = 0;
    to.setNoDelay(true);
    from.on('data', (chunk: Buffer) => {
      if (side === this.#flip.from && offset >= seen && offset < seen + chunk.length) {
        chunk[offset - seen] = (chunk[offset - seen] as number) ^ (1 << bit);
        this.flipped = true;
      }
      seen += chunk.length;
      for (let at = 0; at < chunk.length; ) {
        const size = pieces[piece++ % pieces.length] ?? chunk.length;
        to.write(chunk.subarray(at, at + size));
        at += size;
      }
    });
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    from.on('close', (failed) => {
      if (failed) to.destroy();
    });
  }
}
