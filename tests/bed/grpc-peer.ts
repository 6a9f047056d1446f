// The gRPC service that programs of the tests serve and call. Messages are text, so that no compiler is needed.
import type { ServiceDefinition } from '@grpc/grpc-js';

const toBytes = (text: string): Buffer => Buffer.from(text);
const toText = (bytes: Buffer): string => bytes.toString();

function method(
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): ServiceDefinition[string] {
  return {
    path: `/ambit.test.Peer/${name}`,
    requestStream,
    responseStream,
    requestSerialize: toBytes,
    requestDeserialize: toText,
    responseSerialize: toBytes,
    responseDeserialize: toText,
  };
}

/**
 * - `Say` answers with the server's name and the text; the metadata `x-*` of the call comes back, as metadata and as trailers.
 * - `Collect` joins texts; `Count` sends the numbers below the one that is asked for; `Talk` answers each text at once.
 * - `Refuse` fails with the status and the message that the text has, as `NOT_FOUND There is none`.
 * - `Hang` sends one message and no more; `Hung` tells how many such calls are going on.
 */
export const PEER: ServiceDefinition = {
  Say: method('Say', false, false),
  Collect: method('Collect', true, false),
  Count: method('Count', false, true),
  Talk: method('Talk', true, true),
  Refuse: method('Refuse', false, false),
  Hang: method('Hang', false, true),
  Hung: method('Hung', false, false),
};
