/**
 * Returns the monotonic time, rounded up to a whole millisecond.
 *
 * A test that moves time by hand adds and subtracts it, and only whole numbers survive that: with a
 * fraction, (now + 60000) - now is less than 60000 once in a while.
 */
export function wholeNowMs(): number {
  return Math.ceil(performance.now());
}
