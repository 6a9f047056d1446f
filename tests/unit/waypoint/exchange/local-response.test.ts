import { expect } from 'chai';
import { describe, it } from 'mocha';

import { requestHead } from '#tests/support/request-head.ts';
import { isGrpc } from '#waypoint/exchange/local-response.ts';

const asked = (type: string): boolean => isGrpc(requestHead({ headers: [['content-type', type]] }));

describe('isGrpc()', () => {
  it('knows gRPC by its content type', () => {
    expect(asked('application/grpc')).to.equal(true);
    expect(asked('application/grpc+proto')).to.equal(true);
    expect(asked('application/grpc;charset=utf-8')).to.equal(true);
  });

  it('leaves gRPC-Web what it is: plain HTTP', () => {
    expect(asked('application/grpc-web')).to.equal(false);
    expect(asked('application/grpc-web+proto')).to.equal(false);
    expect(asked('application/json')).to.equal(false);
    expect(isGrpc(requestHead())).to.equal(false);
  });
});
