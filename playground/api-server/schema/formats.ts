import { isIPv4, isIPv6 } from 'node:net';

const FORMATS: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) =>
    /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[-+]\d{2}:\d{2})$/u.test(text) &&
    !Number.isNaN(Date.parse(text)),
  date: (text) => /^\d{4}-\d{2}-\d{2}$/u.test(text) && !Number.isNaN(Date.parse(text)),
  byte: (text) => /^[A-Za-z0-9+/]*={0,2}$/u.test(text) && text.length % 4 === 0,
  uri: (text) => URL.canParse(text) || text.startsWith('/'),
  hostname: (text) =>
    text.length <= 255 &&
    /^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*$/u.test(
      text,
    ),
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: (text) => {
    const [address = '', bits = ''] = text.split('/');
    if (!/^\d{1,3}$/u.test(bits)) return false;
    return (isIPv4(address) && Number(bits) <= 32) || (isIPv6(address) && Number(bits) <= 128);
  },
  email: (text) => /^[^\s@]+@[^\s@]+$/u.test(text),
  uuid: (text) => /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/iu.test(text),
  duration: (text) => /^[-+]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+$/u.test(text),
};

/** Whether a text has a format of OpenAPI; one that is not known admits every text. */
export function matchesFormat(format: string, text: string): boolean {
  return FORMATS[format]?.(text) ?? true;
}
