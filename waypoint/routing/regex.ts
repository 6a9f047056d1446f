import { RE2JS } from 're2js';

/** An expression for a whole text, and what every text begins with that it matches. */
export interface WholeText {
  /** Linear in the length of the text, whatever the expression is. */
  readonly pattern: RE2JS;
  readonly beginning: string;
}

/** Throws when the text is no expression. */
export function wholeText(expression: string): WholeText {
  return { pattern: RE2JS.compile(expression), beginning: beginningOf(expression) };
}

/** What stands for itself at the beginning; what follows may make its last character optional. Short rather than wrong. */
export function beginningOf(expression: string): string {
  if (expression.includes('|')) return '';
  const plain = /^\^?([^\\.+*?()[\]{}^$|]*)/.exec(expression);
  const [begun = '', beginning = ''] = plain ?? [];
  const isOptional = /^[*?{]/.test(expression.slice(begun.length));
  return isOptional ? Array.from(beginning).slice(0, -1).join('') : beginning;
}
