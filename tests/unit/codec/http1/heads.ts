import { Head, type HeadKind } from '#codec/http1/head.ts';
import { beginHead, type ParseResult, parseHead } from '#codec/http1/parse-head.ts';

/** Lines with CRLF behind each, and the empty line. */
export function lines(...texts: string[]): string {
  return [...texts, '', ''].join('\r\n');
}

/** Parses a text as a whole, with bytes around it that are not its own. */
export function parse(kind: HeadKind, text: string): { result: ParseResult; head: Head } {
  const head = new Head(kind);
  const bytes = Buffer.from(`\n\r\n: ${text}: x\r\n\r\n`, 'latin1');
  beginHead(head, bytes, 5);
  return { result: parseHead(head, 5 + text.length), head };
}

/** "complete", "incomplete", or the fault. */
export function outcome(kind: HeadKind, text: string): string {
  const { result, head } = parse(kind, text);
  return result === 'fault' ? String(head.fault) : result;
}

/** A head that must be right. */
export function parsed(kind: HeadKind, text: string): Head {
  const { result, head } = parse(kind, text);
  if (result !== 'complete') throw new Error(`${result}: ${head.fault}`);
  return head;
}
