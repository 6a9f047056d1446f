import { setFlagsFromString } from 'node:v8';

/**
 * While a program is loaded everything that it makes is kept, which V8 takes for a reason to give the young generation
 * of each thread up to 48 MB, for good. A program that has much to do calls {@link letYoungGenerationGrow} when it
 * serves: then it grows where there is work, and a program at rest is some 20 MB smaller.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** From now on the young generation of each thread grows as V8 thinks best. */
export function letYoungGenerationGrow(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
}
