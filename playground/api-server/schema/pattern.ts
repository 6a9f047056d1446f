const expressions = new Map<string, RegExp | undefined>();

/**
 * A pattern in RE2's syntax, of which schemas use what both languages share; undefined for what
 * cannot be read. Definitions with such a pattern are refused when they are written.
 */
export function regularExpression(pattern: string): RegExp | undefined {
  if (!expressions.has(pattern)) expressions.set(pattern, compile(pattern));
  return expressions.get(pattern);
}

function compile(pattern: string): RegExp | undefined {
  const ignoreCase = pattern.startsWith('(?i)');
  const source = ignoreCase ? pattern.slice('(?i)'.length) : pattern;
  // Without the flag "u", JavaScript is as lenient about escapes as RE2.
  for (const flags of ['u', '']) {
    try {
      return new RegExp(source, ignoreCase ? `${flags}i` : flags);
    } catch {
      continue;
    }
  }
  return undefined;
}
