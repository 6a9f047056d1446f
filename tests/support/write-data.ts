import type { Http2Connection } from '#codec/http2/connection.ts';
import type { Http2Output } from '#codec/http2/frame-writer.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';

const FRAME_HEADER_LENGTH = 9;

/**
 * Sends as much of `bytes` as one DATA frame and the windows allow, as whoever uses the codec does: laid into the
 * output, then committed. Returns how many bytes that was; the stream is ended only when it was all of them.
 */
export function writeData(
  { connection, output }: { readonly connection: Http2Connection; readonly output: Http2Output },
  stream: Http2Stream,
  bytes: Buffer,
  endStream: boolean,
): number {
  const length = Math.min(bytes.length, connection.dataAllowance(stream));
  const last = endStream && length === bytes.length;
  if (!stream.canSend || (length === 0 && !last)) return 0;
  if (!output.reserve(FRAME_HEADER_LENGTH + length)) return 0;
  bytes.copy(output.bytes, output.end + FRAME_HEADER_LENGTH, 0, length);
  connection.commitData(stream, length, last);
  return length;
}
