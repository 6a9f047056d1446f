import { expect } from 'chai';
import { describe, it } from 'mocha';

import { faultStatus, HTTP1_FAULTS, type Http1Fault } from '#codec/http1/faults.ts';

describe('faultStatus()', () => {
  it('is 400, but where HTTP has a status that says more', () => {
    const others = Object.keys(HTTP1_FAULTS).flatMap((fault) => {
      const status = faultStatus(fault as Http1Fault);
      return status === 400 ? [] : [`${fault} ${status}`];
    });
    expect(others).to.deep.equal([
      'unsupportedVersion 505',
      'headTooLarge 431',
      'tooManyFields 431',
      'trailersTooLarge 431',
      'unsupportedExpectation 417',
    ]);
  });
});
