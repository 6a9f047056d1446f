import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ApiError, FieldProblem } from '#playground/api-server/errors.ts';
import {
  alreadyExists,
  applyConflict,
  badRequest,
  conflict,
  duplicateValue,
  forbidden,
  forbiddenField,
  gone,
  internalError,
  invalid,
  invalidValue,
  methodNotAllowed,
  missingReference,
  noSuchPath,
  notAcceptable,
  notFound,
  requestTooLarge,
  requiredValue,
  tooLargeResourceVersion,
  tooLong,
  tooMany,
  tooManyRequests,
  tooOldResourceVersion,
  unauthorized,
  unsupportedMediaType,
  unsupportedValue,
  wrongType,
} from '#playground/api-server/errors.ts';

const pods = { group: '', plural: 'pods', kind: 'Pod' };
const deployments = { group: 'apps', plural: 'deployments', kind: 'Deployment' };

describe('ApiError', () => {
  const table: readonly [ApiError, number, string, string][] = [
    [notFound(pods, 'a'), 404, 'NotFound', 'pods "a" not found'],
    [notFound(deployments, 'a'), 404, 'NotFound', 'deployments.apps "a" not found'],
    [noSuchPath(), 404, 'NotFound', 'the server could not find the requested resource'],
    [alreadyExists(deployments, 'a'), 409, 'AlreadyExists', 'deployments.apps "a" already exists'],
    [
      conflict(pods, 'a'),
      409,
      'Conflict',
      'Operation cannot be fulfilled on pods "a": the object has been modified; please apply your changes to the latest version and try again',
    ],
    [applyConflict('Apply failed', []), 409, 'Conflict', 'Apply failed'],
    [forbidden(pods, 'a', 'no'), 403, 'Forbidden', 'pods "a" is forbidden: no'],
    [forbidden(pods, '', 'no'), 403, 'Forbidden', 'pods is forbidden: no'],
    [badRequest('what'), 400, 'BadRequest', 'what'],
    [unauthorized(), 401, 'Unauthorized', 'Unauthorized'],
    [gone('too late'), 410, 'Expired', 'too late'],
    [tooOldResourceVersion(3, 7), 410, 'Expired', 'too old resource version: 3 (7)'],
    [
      tooLargeResourceVersion(9, 7),
      504,
      'Timeout',
      'Timeout: Too large resource version: 9, current: 7',
    ],
    [
      unsupportedMediaType(['a/b', 'c/d']),
      415,
      'UnsupportedMediaType',
      'the body of the request was in an unknown format - accepted media types include: a/b, c/d',
    ],
    [
      notAcceptable(['a/b']),
      406,
      'NotAcceptable',
      'only the following media types are accepted: a/b',
    ],
    [
      methodNotAllowed(),
      405,
      'MethodNotAllowed',
      'the server does not allow this method on the requested resource',
    ],
    [requestTooLarge(9), 413, 'RequestEntityTooLarge', 'Request entity too large: limit is 9'],
    [tooManyRequests('wait', 1), 429, 'TooManyRequests', 'wait'],
    [internalError('oh'), 500, 'InternalError', 'Internal error occurred: oh'],
  ];
  for (const [error, code, reason, message] of table) {
    it(`is the Status ${code} ${reason} "${message}"`, () => {
      expect(error.status).to.deep.include({
        kind: 'Status',
        apiVersion: 'v1',
        status: 'Failure',
        code,
        reason,
        message,
      });
      expect(error.message).to.equal(message);
    });
  }

  it('carries the token that a list goes on with', () => {
    expect(gone('too late', 'token').status.metadata).to.deep.equal({ continue: 'token' });
  });
});

describe('invalid()', () => {
  it('lists what is wrong, for people in the message and for programs in the causes', () => {
    const problems = [requiredValue('spec.a'), invalidValue('spec.b', 'x', 'field is immutable')];
    expect(invalid(deployments, 'a', problems).status).to.deep.include({
      code: 422,
      message:
        'Deployment.apps "a" is invalid: [spec.a: Required value, spec.b: Invalid value: "x": field is immutable]',
      details: {
        name: 'a',
        group: 'apps',
        kind: 'Deployment',
        causes: [
          { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.a' },
          {
            reason: 'FieldValueInvalid',
            message: 'Invalid value: "x": field is immutable',
            field: 'spec.b',
          },
        ],
      },
    });
  });

  const table: readonly [FieldProblem, string, string][] = [
    [requiredValue('f', 'why'), 'FieldValueRequired', 'Required value: why'],
    [invalidValue('f', undefined, 'why'), 'FieldValueInvalid', 'Invalid value: "null": why'],
    [invalidValue('f', { a: 1 }, 'why'), 'FieldValueInvalid', 'Invalid value: {"a":1}: why'],
    [wrongType('f', 'x', 'why'), 'FieldValueTypeInvalid', 'Invalid value: "x": why'],
    [duplicateValue('f', 'x'), 'FieldValueDuplicate', 'Duplicate value: "x"'],
    [
      unsupportedValue('f', 'x', ['a', 'b']),
      'FieldValueNotSupported',
      'Unsupported value: "x": supported values: "a", "b"',
    ],
    [forbiddenField('f', 'why'), 'FieldValueForbidden', 'Forbidden: why'],
    [missingReference('f', 'x'), 'FieldValueNotFound', 'Not found: "x"'],
    [tooLong('f', 63), 'FieldValueTooLong', 'Too long: may not be more than 63 bytes'],
    [tooMany('f', 5, 3), 'FieldValueTooMany', 'Too many: 5: must have at most 3 items'],
  ];
  for (const [problem, reason, message] of table) {
    it(`words a field's problem as ${message}`, () => {
      expect(problem).to.deep.equal({ field: 'f', reason, message });
    });
  }
});
