import koffi from 'koffi';

/**
 * The functions of OpenSSL that the node binary exports, declared once. Pointers, also those to OpenSSL's
 * own objects, are `uint64_t`. A Node without one of them loads this file all the same: the function throws
 * when it is called, and {@link missingSymbols} names it.
 */
const node = koffi.load(null);
const pointer = 'uint64_t';
const string = 'const char *';

type Pointer = number;
/** What `koffi.register` gives for a callback. */
type Callback = bigint;

/** A foreign function; each constant below gives it its type. */
type Foreign = ReturnType<typeof node.func>;

const missing: string[] = [];

function declare(name: string, result: string, parameters: readonly string[]): Foreign {
  try {
    return node.func(name, result, [...parameters]);
  } catch {
    missing.push(name);
    const absent = (): never => {
      throw new Error(`Cannot call ${name}: this Node does not export it`);
    };
    return absent as unknown as Foreign;
  }
}

/** Names of functions that this Node does not export; empty on a Node that serves. */
export function missingSymbols(): readonly string[] {
  return missing;
}

// Library and errors
export const OpenSSL_version: (what: number) => string = declare('OpenSSL_version', string, [
  'int',
]);
export const ERR_clear_error: () => void = declare('ERR_clear_error', 'void', []);
export const ERR_get_error: () => number = declare('ERR_get_error', 'ulong', []);
export const ERR_reason_error_string: (error: number) => string | null = declare(
  'ERR_reason_error_string',
  string,
  ['ulong'],
);

// Memory BIOs
export const BIO_new: (method: Pointer) => Pointer = declare('BIO_new', pointer, [pointer]);
export const BIO_s_mem: () => Pointer = declare('BIO_s_mem', pointer, []);
export const BIO_new_mem_buf: (at: Pointer, length: number) => Pointer = declare(
  'BIO_new_mem_buf',
  pointer,
  [pointer, 'int'],
);
export const BIO_free: (bio: Pointer) => number = declare('BIO_free', 'int', [pointer]);
export const BIO_read: (bio: Pointer, at: Pointer, length: number) => number = declare(
  'BIO_read',
  'int',
  [pointer, pointer, 'int'],
);
export const BIO_write: (bio: Pointer, at: Pointer, length: number) => number = declare(
  'BIO_write',
  'int',
  [pointer, pointer, 'int'],
);

// Keys and certificates
export const PEM_read_bio_X509: (
  bio: Pointer,
  into: Pointer,
  password: Pointer,
  argument: Pointer,
) => Pointer = declare('PEM_read_bio_X509', pointer, [pointer, pointer, pointer, pointer]);
export const PEM_read_bio_PrivateKey: (
  bio: Pointer,
  into: Pointer,
  password: Pointer,
  argument: Pointer,
) => Pointer = declare('PEM_read_bio_PrivateKey', pointer, [pointer, pointer, pointer, pointer]);
export const i2d_X509_bio: (bio: Pointer, certificate: Pointer) => number = declare(
  'i2d_X509_bio',
  'int',
  [pointer, pointer],
);
export const X509_free: (certificate: Pointer) => void = declare('X509_free', 'void', [pointer]);
export const EVP_PKEY_free: (key: Pointer) => void = declare('EVP_PKEY_free', 'void', [pointer]);
export const X509_STORE_add_cert: (store: Pointer, certificate: Pointer) => number = declare(
  'X509_STORE_add_cert',
  'int',
  [pointer, pointer],
);
export const X509_verify_cert_error_string: (result: number) => string = declare(
  'X509_verify_cert_error_string',
  string,
  ['long'],
);

// Contexts
export const TLS_method: () => Pointer = declare('TLS_method', pointer, []);
export const SSL_CTX_new: (method: Pointer) => Pointer = declare('SSL_CTX_new', pointer, [pointer]);
export const SSL_CTX_free: (context: Pointer) => void = declare('SSL_CTX_free', 'void', [pointer]);
export const SSL_CTX_ctrl: (
  context: Pointer,
  command: number,
  number: number,
  at: Pointer,
) => number = declare('SSL_CTX_ctrl', 'long', [pointer, 'int', 'long', pointer]);
export const SSL_CTX_set_options: (context: Pointer, options: number) => number = declare(
  'SSL_CTX_set_options',
  'uint64_t',
  [pointer, 'uint64_t'],
);
export const SSL_CTX_set_security_level: (context: Pointer, level: number) => void = declare(
  'SSL_CTX_set_security_level',
  'void',
  [pointer, 'int'],
);
export const SSL_CTX_set_ciphersuites: (context: Pointer, suites: string) => number = declare(
  'SSL_CTX_set_ciphersuites',
  'int',
  [pointer, string],
);
export const SSL_CTX_set_num_tickets: (context: Pointer, count: number) => number = declare(
  'SSL_CTX_set_num_tickets',
  'int',
  [pointer, 'size_t'],
);
export const SSL_CTX_set_verify: (context: Pointer, mode: number, callback: Pointer) => void =
  declare('SSL_CTX_set_verify', 'void', [pointer, 'int', pointer]);
export const SSL_CTX_use_certificate: (context: Pointer, certificate: Pointer) => number = declare(
  'SSL_CTX_use_certificate',
  'int',
  [pointer, pointer],
);
export const SSL_CTX_use_PrivateKey: (context: Pointer, key: Pointer) => number = declare(
  'SSL_CTX_use_PrivateKey',
  'int',
  [pointer, pointer],
);
export const SSL_CTX_check_private_key: (context: Pointer) => number = declare(
  'SSL_CTX_check_private_key',
  'int',
  [pointer],
);
export const SSL_CTX_get_cert_store: (context: Pointer) => Pointer = declare(
  'SSL_CTX_get_cert_store',
  pointer,
  [pointer],
);
/** 0 is success here, other than elsewhere. */
export const SSL_CTX_set_alpn_protos: (context: Pointer, at: Pointer, length: number) => number =
  declare('SSL_CTX_set_alpn_protos', 'int', [pointer, pointer, 'uint']);
export const SSL_CTX_set_alpn_select_cb: (
  context: Pointer,
  callback: Callback,
  argument: Pointer,
) => void = declare('SSL_CTX_set_alpn_select_cb', 'void', [pointer, 'void *', pointer]);
export const SSL_CTX_set_keylog_callback: (context: Pointer, callback: Callback) => void = declare(
  'SSL_CTX_set_keylog_callback',
  'void',
  [pointer, 'void *'],
);

// One handshake
export const SSL_new: (context: Pointer) => Pointer = declare('SSL_new', pointer, [pointer]);
export const SSL_free: (ssl: Pointer) => void = declare('SSL_free', 'void', [pointer]);
export const SSL_set_bio: (ssl: Pointer, read: Pointer, write: Pointer) => void = declare(
  'SSL_set_bio',
  'void',
  [pointer, pointer, pointer],
);
export const SSL_set_accept_state: (ssl: Pointer) => void = declare(
  'SSL_set_accept_state',
  'void',
  [pointer],
);
export const SSL_set_connect_state: (ssl: Pointer) => void = declare(
  'SSL_set_connect_state',
  'void',
  [pointer],
);
export const SSL_do_handshake: (ssl: Pointer) => number = declare('SSL_do_handshake', 'int', [
  pointer,
]);
export const SSL_get_error: (ssl: Pointer, result: number) => number = declare(
  'SSL_get_error',
  'int',
  [pointer, 'int'],
);
export const SSL_has_pending: (ssl: Pointer) => number = declare('SSL_has_pending', 'int', [
  pointer,
]);
export const SSL_get_verify_result: (ssl: Pointer) => number = declare(
  'SSL_get_verify_result',
  'long',
  [pointer],
);
export const SSL_get1_peer_certificate: (ssl: Pointer) => Pointer = declare(
  'SSL_get1_peer_certificate',
  pointer,
  [pointer],
);
export const SSL_get_current_cipher: (ssl: Pointer) => Pointer = declare(
  'SSL_get_current_cipher',
  pointer,
  [pointer],
);
export const SSL_CIPHER_get_protocol_id: (cipher: Pointer) => number = declare(
  'SSL_CIPHER_get_protocol_id',
  'uint16_t',
  [pointer],
);
/** Writes a pointer to the chosen protocol and its length; the length is 0 when there is none. */
export const SSL_get0_alpn_selected: (ssl: Pointer, data: Pointer, length: Pointer) => void =
  declare('SSL_get0_alpn_selected', 'void', [pointer, pointer, pointer]);

// Record protection
export const EVP_CIPHER_fetch: (
  library: Pointer,
  algorithm: string,
  properties: string | null,
) => Pointer = declare('EVP_CIPHER_fetch', pointer, [pointer, string, string]);
export const EVP_CIPHER_CTX_new: () => Pointer = declare('EVP_CIPHER_CTX_new', pointer, []);
export const EVP_CIPHER_CTX_free: (context: Pointer) => void = declare(
  'EVP_CIPHER_CTX_free',
  'void',
  [pointer],
);
export const EVP_CipherInit_ex: (
  context: Pointer,
  cipher: Pointer,
  engine: Pointer,
  key: Pointer,
  nonce: Pointer,
  encrypt: number,
) => number = declare('EVP_CipherInit_ex', 'int', [
  pointer,
  pointer,
  pointer,
  pointer,
  pointer,
  'int',
]);
export const EVP_CipherUpdate: (
  context: Pointer,
  to: Pointer,
  written: Pointer,
  from: Pointer,
  length: number,
) => number = declare('EVP_CipherUpdate', 'int', [pointer, pointer, pointer, pointer, 'int']);
export const EVP_CipherFinal_ex: (context: Pointer, to: Pointer, written: Pointer) => number =
  declare('EVP_CipherFinal_ex', 'int', [pointer, pointer, pointer]);
export const EVP_CIPHER_CTX_ctrl: (
  context: Pointer,
  command: number,
  number: number,
  at: Pointer,
) => number = declare('EVP_CIPHER_CTX_ctrl', 'int', [pointer, 'int', 'int', pointer]);

const keyLogPrototype = koffi.proto('void AmbitKeyLog(uint64_t ssl, uint64_t line)');
const alpnSelectPrototype = koffi.proto(
  'int AmbitAlpnSelect(uint64_t ssl, uint64_t out, uint64_t outLength, uint64_t in, uint in_length, uint64_t argument)',
);

/** `line` is the address of a C string that lives as long as the call. The function must not throw. */
export function registerKeyLog(onLine: (ssl: Pointer, line: Pointer) => void): Callback {
  return koffi.register(onLine, koffi.pointer(keyLogPrototype));
}

/** The function writes to `out` and `outLength` and answers one of `SSL_TLSEXT_ERR_…`; it must not throw. */
export function registerAlpnSelect(
  select: (
    ssl: Pointer,
    out: Pointer,
    outLength: Pointer,
    offered: Pointer,
    length: number,
  ) => number,
): Callback {
  return koffi.register(select, koffi.pointer(alpnSelectPrototype));
}
