import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  KubeError,
  statusFrom,
  statusOfEvent,
} from '#kube/errors.ts';
import { failure } from '#tests/support/scripted-api-server.ts';

function error(code: number, reason: string): KubeError {
  return new KubeError(statusFrom(code, JSON.stringify(failure(code, reason))));
}

describe('KubeError', () => {
  it('tells a taken name from a change in between, which share a code', () => {
    expect(isConflict(error(409, 'Conflict'))).to.equal(true);
    expect(isConflict(error(409, 'AlreadyExists'))).to.equal(false);
    expect(isAlreadyExists(error(409, 'AlreadyExists'))).to.equal(true);
    expect(isAlreadyExists(error(409, 'Conflict'))).to.equal(false);
  });

  it('knows what is not there and what is no longer there', () => {
    expect(isNotFound(error(404, 'NotFound'))).to.equal(true);
    expect(isExpired(error(410, 'Expired'))).to.equal(true);
    expect(isExpired(error(410, 'Gone'))).to.equal(true);
    expect(isExpired(error(504, 'Timeout'))).to.equal(false);
    expect(isExpired(new Error('410'))).to.equal(false);
  });
});

describe('statusFrom()', () => {
  it('keeps what the server says, with its details', () => {
    const body = {
      ...(failure(422, 'Invalid', 'Pod "a" is invalid') as object),
      details: { kind: 'Pod', causes: [{ field: 'spec.containers', message: 'Required value' }] },
    };
    expect(statusFrom(422, JSON.stringify(body))).to.deep.equal(body);
  });

  it('shows the beginning of an answer that is not from an API server', () => {
    const status = statusFrom(502, `<html>Bad gateway${' '.repeat(10_000)}</html>`);
    expect(status.message).to.equal('The API server answered 502: <html>Bad gateway');
    expect(status.reason).to.equal('');
  });

  it('makes a message for an empty answer', () => {
    expect(statusFrom(401, '').message).to.equal('The API server answered 401');
  });
});

describe('statusOfEvent()', () => {
  it('takes an ERROR event without a readable status for trouble of the server', () => {
    expect(statusOfEvent(null)).to.include({ code: 500, status: 'Failure' });
  });
});
