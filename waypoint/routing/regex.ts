import { RE2JS } from 're2js';

/** An expression for a whole text, and what every text begins with that it matches. Plain data, which can be posted to a thread. */
export interface WholeText {
  readonly expression: string;
  readonly beginning: string;
}

/** Throws when the text is no expression. */
export function wholeText(expression: string): WholeText {
  RE2JS.compile(expression);
  return { expression, beginning: beginningOf(expression) };
}

const patterns = new WeakMap<WholeText, RE2JS>();

/** Takes a time that is linear in the length of the text, whatever the expression is. */
export function isWhole(rule: WholeText, text: string): boolean {
  if (!text.startsWith(rule.beginning)) return false;
  let pattern = patterns.get(rule);
  if (pattern === undefined) {
    pattern = RE2JS.compile(rule.expression);
    patterns.set(rule, pattern);
  }
  return pattern.matches(text);
}

/** What stands for itself at the beginning; what follows may make its last character optional. Short rather than wrong. */
export function beginningOf(expression: string): string {
  if (expression.includes('|')) return '';
  const plain = /^\^?([^\\.+*?()[\]{}^$|]*)/.exec(expression);
  const [begun = '', beginning = ''] = plain ?? [];
  const isOptional = /^[*?{]/.test(expression.slice(begun.length));
  return isOptional ? Array.from(beginning).slice(0, -1).join('') : beginning;
}
