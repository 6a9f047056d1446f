/** The alerts of RFC 8446 section 6, by their number on the wire. */
const names: readonly (readonly [number, string])[] = [
  [0, 'close_notify'],
  [10, 'unexpected_message'],
  [20, 'bad_record_mac'],
  [22, 'record_overflow'],
  [40, 'handshake_failure'],
  [42, 'bad_certificate'],
  [43, 'unsupported_certificate'],
  [44, 'certificate_revoked'],
  [45, 'certificate_expired'],
  [46, 'certificate_unknown'],
  [47, 'illegal_parameter'],
  [48, 'unknown_ca'],
  [49, 'access_denied'],
  [50, 'decode_error'],
  [51, 'decrypt_error'],
  [70, 'protocol_version'],
  [71, 'insufficient_security'],
  [80, 'internal_error'],
  [86, 'inappropriate_fallback'],
  [90, 'user_canceled'],
  [109, 'missing_extension'],
  [110, 'unsupported_extension'],
  [112, 'unrecognized_name'],
  [113, 'bad_certificate_status_response'],
  [115, 'unknown_psk_identity'],
  [116, 'certificate_required'],
  [120, 'no_application_protocol'],
];
const nameByNumber = new Map(names);

export const Alert = {
  closeNotify: 0,
  unexpectedMessage: 10,
  badRecordMac: 20,
  recordOverflow: 22,
  badCertificate: 42,
  illegalParameter: 47,
  accessDenied: 49,
  decodeError: 50,
  internalError: 80,
  userCanceled: 90,
  noApplicationProtocol: 120,
} as const;
export type Alert = (typeof Alert)[keyof typeof Alert];

/** `bad_certificate` for 42; `alert 250` for one that the standard does not know. */
export function alertName(code: number): string {
  return nameByNumber.get(code) ?? `alert ${code}`;
}
