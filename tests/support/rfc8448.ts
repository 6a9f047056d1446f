import type { TrafficKeys } from '#reactor/tls/key-schedule.ts';

/**
 * RFC 8448 section 3, "Simple 1-RTT Handshake": secrets, keys and records under the application keys, with
 * TLS_AES_128_GCM_SHA256. Records have their headers.
 */
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

export const clientSecret: Buffer = hex(
  '9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5',
);
export const serverSecret: Buffer = hex(
  'a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643',
);
export const serverHandshakeSecret: Buffer = hex(
  'b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38',
);

export const clientKeys: TrafficKeys = {
  key: hex('17422dda596ed5d9acd890e3c63f5051'),
  iv: hex('5b78923dee08579033e523d9'),
};
export const serverKeys: TrafficKeys = {
  key: hex('9f02283b6c9c07efc26bb9f2ac92e356'),
  iv: hex('cf782b88dd83549aadf1e984'),
};
export const serverHandshakeKeys: TrafficKeys = {
  key: hex('3fce516009c21727d0f2e4e86ee403bc'),
  iv: hex('5d313eb2671276ee13000b30'),
};

/** 00 01 … 31, which both sides send. */
export const payload: Buffer = Buffer.from(Array.from({ length: 50 }, (_, index) => index));

/** The client's records: application data, close_notify. */
export const clientData: Buffer = hex(`
  1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5
  b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4`);
export const clientCloseNotify: Buffer = hex('1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3');

/** The server's records: a ticket, application data, close_notify. */
export const serverTicket: Buffer = hex(`
  17030300de 3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a
  015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e0
  9c30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77
  f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74
  bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f`);
export const serverData: Buffer = hex(`
  1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d
  90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d`);
export const serverCloseNotify: Buffer = hex('1703030013 b58fd67166ebf599d24720cfbe7efa7a8864a9');
