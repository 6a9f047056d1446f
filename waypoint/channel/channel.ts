/**
 * Told what happens on a channel. Called synchronously, never after {@link Channel.abort}, and never from within
 * {@link Channel.write}, {@link Channel.finish} or {@link Channel.consume}.
 */
export interface ChannelUser {
  /** The peer's bytes, valid during the call. Give credit back with {@link Channel.consume} as they are taken. */
  onBytes(bytes: Buffer, start: number, end: number): void;
  /** The peer sends no more. */
  onFinished(): void;
  /** Everything that was queued has been taken. */
  onDrained(): void;
  /** It broke: nothing comes or goes any more. `reason` is for the log. */
  onBroken(reason: string): void;
}

/**
 * Bytes both ways between us and one peer, whatever carries them: a stream of a tunnel, or a TCP connection. Each
 * direction has an end of its own.
 */
export interface Channel {
  /** Set before the first byte can come. */
  user: ChannelUser;
  /** Bytes written that nobody has taken yet. Whoever writes on while there are some must be bounded otherwise. */
  readonly queued: number;
  /** While some are queued: memory is full, and they are more than their part of it. Whoever wrote them should give up. */
  readonly overflows: boolean;
  /** Neither broken nor aborted. */
  readonly isOpen: boolean;
  /** Takes all of `bytes[start, end)`, and copies what can't be sent now. Ignored after {@link finish} and when not open. */
  write(bytes: Buffer, start: number, end: number): void;
  /** Nothing more will be written: the peer learns it after what is queued. */
  finish(): void;
  /** So many of the peer's bytes are done with: it may send as many more. */
  consume(length: number): void;
  /** Cuts both directions: the peer sees a reset. The user is not told. */
  abort(): void;
}
