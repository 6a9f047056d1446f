import { run } from '../process.ts';
import { grpcCall, grpcCancel, grpcTalk } from './grpc.ts';
import { poll, readEvents, request } from './http.ts';
import { beginLoad, endLoad } from './load.ts';
import { rawTalk } from './raw.ts';
import { webSocket } from './web-socket.ts';

/** What a caller can be told to do. All that goes in and comes out is JSON. */
export interface Errands {
  /** Runs a program that the machine has to its end. */
  readonly run: (given: {
    readonly command: readonly string[];
    readonly input?: string;
  }) => Promise<{
    readonly code: number | null;
    readonly stdout: string;
    readonly stderr: string;
  }>;
  readonly request: typeof request;
  readonly readEvents: typeof readEvents;
  readonly poll: typeof poll;
  readonly grpcCall: typeof grpcCall;
  readonly grpcTalk: typeof grpcTalk;
  readonly grpcCancel: typeof grpcCancel;
  readonly webSocket: typeof webSocket;
  readonly rawTalk: typeof rawTalk;
  readonly beginLoad: typeof beginLoad;
  readonly endLoad: typeof endLoad;
}

const DEADLINE_MS = 60_000;

export const errands: Errands = {
  run: async ({ command, input = '' }) => run(command, { input, deadlineMs: DEADLINE_MS }),
  request,
  readEvents,
  poll,
  grpcCall,
  grpcTalk,
  grpcCancel,
  webSocket,
  rawTalk,
  beginLoad,
  endLoad,
};
