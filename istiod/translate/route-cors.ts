import { create } from '@bufbuild/protobuf';

import { type Cors, CorsSchema } from '#api/gen/waypoint_pb.ts';

import { isBlank, list, type Written } from '../model/written.ts';

/** Unless said otherwise (`cors.maxAge`), in seconds. */
const MAX_AGE_S = 5;
const MAX_AGE_MAX_S = 2 ** 31 - 1;
/** `*`, or scheme and host with at most one star in it. */
const ORIGIN = /^(?:\*|[a-z][a-z0-9+.-]*:\/\/[a-z0-9.:[\]-]*\*?[a-z0-9.:[\]-]*)$/i;
/** RFC 9110 section 5.6.2; the star is one, too. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The filter `CORS` of a rule, or what is wrong with it. */
export function translateCors(written: Written): Cors | string {
  const { allowCredentials, maxAge } = written;
  const lists = ['allowOrigins', 'allowMethods', 'allowHeaders', 'exposeHeaders'] as const;
  for (const field of lists) {
    const pattern = field === 'allowOrigins' ? ORIGIN : TOKEN;
    const bad = list(written[field]).find(
      (one) => typeof one !== 'string' || !pattern.test(one) || one.endsWith('://'),
    );
    if (bad !== undefined) return `cors.${field} can not be ${JSON.stringify(bad)}`;
  }
  const ageS = isBlank(maxAge) ? MAX_AGE_S : maxAge;
  if (typeof ageS !== 'number' || !Number.isInteger(ageS) || ageS < 1 || ageS > MAX_AGE_MAX_S)
    return `cors.maxAge can not be ${JSON.stringify(maxAge)}`;
  if (!isBlank(allowCredentials) && typeof allowCredentials !== 'boolean')
    return `cors.allowCredentials can not be ${JSON.stringify(allowCredentials)}`;
  const texts = (field: (typeof lists)[number]) => list(written[field]) as string[];
  return create(CorsSchema, {
    allowOrigins: texts('allowOrigins'),
    allowMethods: texts('allowMethods'),
    allowHeaders: texts('allowHeaders'),
    exposeHeaders: texts('exposeHeaders'),
    allowCredentials: allowCredentials === true,
    maxAgeS: ageS,
  });
}
