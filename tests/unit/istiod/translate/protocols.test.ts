import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AppProtocol } from '#api/gen/workload_pb.ts';
import { appProtocol } from '#istiod/translate/protocols.ts';

const table: readonly [field: string | undefined, name: string, want: AppProtocol][] = [
  [undefined, 'http', AppProtocol.HTTP11],
  [undefined, 'http-admin', AppProtocol.HTTP11],
  [undefined, 'HTTP2-x', AppProtocol.HTTP2],
  [undefined, 'grpc', AppProtocol.GRPC],
  [undefined, 'grpc-web-x', AppProtocol.GRPC],
  [undefined, 'https', AppProtocol.TLS],
  [undefined, 'tls-x', AppProtocol.TLS],
  [undefined, 'tcp', AppProtocol.TCP],
  [undefined, 'httpx', AppProtocol.UNKNOWN],
  [undefined, '', AppProtocol.UNKNOWN],
  [undefined, 'mysql', AppProtocol.UNKNOWN],
  ['kubernetes.io/h2c', 'http', AppProtocol.HTTP2],
  ['kubernetes.io/ws', '', AppProtocol.HTTP11],
  ['someone.example/own', 'http', AppProtocol.UNKNOWN],
  ['', 'http', AppProtocol.HTTP11],
];

describe('appProtocol()', () => {
  for (const [field, name, want] of table) {
    it(`reads appProtocol ${field ?? '(none)'} and name "${name}" as ${want}`, () => {
      expect(appProtocol(field, name)).to.equal(want);
    });
  }
});
