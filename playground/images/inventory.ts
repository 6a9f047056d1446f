// The image ambit/bookinfo-inventory: tells by gRPC, on port 9090, how many copies of a book the shop has.
import { hostname } from 'node:os';

import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';

import { COUNT, type CountReply, type CountRequest, INVENTORY_PORT } from './inventory-service.ts';

const COPIES = 7;

const server = new Server();
server.addService(
  { Count: COUNT },
  {
    Count: (call: ServerUnaryCall<CountRequest, CountReply>, answer: sendUnaryData<CountReply>) => {
      process.stdout.write(`Count of book ${call.request.book}\n`);
      answer(null, { copies: COPIES, pod: hostname() });
    },
  },
);
server.bindAsync(`0.0.0.0:${INVENTORY_PORT}`, ServerCredentials.createInsecure(), (error) => {
  if (error === null) return;
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
process.on('SIGTERM', () => process.exit(0));
