// The parts of a rule of an AuthorizationPolicy, one clause each.

export function source(attributes: object): object {
  return { from: [{ source: attributes }] };
}
export function operation(attributes: object): object {
  return { to: [{ operation: attributes }] };
}
export function when(key: string, values?: string[], notValues?: string[]): object {
  return { when: [{ key, values, notValues }] };
}
