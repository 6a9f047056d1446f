/** Ends the current operation with an error when something that the code relies on does not hold. */
export function invariant(holds: boolean, why: string): asserts holds {
  if (!holds) throw new Error(`Invariant broken: ${why}`);
}

/** The `default:` of an exhaustive switch: a new case fails the type check here. */
export function unreachable(value: never): never {
  throw new Error(`Unexpected value: ${JSON.stringify(value)}`);
}
