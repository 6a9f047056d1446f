import { AppProtocol } from '#api/gen/workload_pb.ts';

const BY_NAME: ReadonlyMap<string, AppProtocol> = new Map([
  ['http', AppProtocol.HTTP11],
  ['http2', AppProtocol.HTTP2],
  ['grpc', AppProtocol.GRPC],
  ['grpc-web', AppProtocol.GRPC],
  ['https', AppProtocol.TLS],
  ['tls', AppProtocol.TLS],
  ['tcp', AppProtocol.TCP],
  ['kubernetes.io/h2c', AppProtocol.HTTP2],
  ['kubernetes.io/ws', AppProtocol.HTTP11],
  ['kubernetes.io/wss', AppProtocol.TLS],
]);

/** What a port speaks: its `appProtocol` says, or its name does (`http`, `http-admin`). */
export function appProtocol(appProtocolField: string | undefined, portName: string): AppProtocol {
  if (appProtocolField !== undefined && appProtocolField !== '')
    return protocolNamed(appProtocolField);
  const lower = portName.toLowerCase();
  if (lower === 'grpc-web' || lower.startsWith('grpc-web-')) return AppProtocol.GRPC;
  const dash = lower.indexOf('-');
  return protocolNamed(dash === -1 ? lower : lower.slice(0, dash));
}

export function protocolNamed(name: string): AppProtocol {
  return BY_NAME.get(name.toLowerCase()) ?? AppProtocol.UNKNOWN;
}
