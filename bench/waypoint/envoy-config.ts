/** What Envoy has to know to stand in a waypoint's place. */
export interface EnvoyPlace {
  readonly service: { readonly ip: string; readonly port: number };
  /** The pod behind the service, which has a tunnel. */
  readonly endpoint: { readonly ip: string; readonly port: number; readonly identity: string };
  /** The identity that is let in. */
  readonly client: string;
  /** PEM files: the waypoint's own certificate and key, and the roots of the mesh. */
  readonly files: {
    readonly certificate: string;
    readonly key: string;
    readonly authority: string;
  };
}

/** The port of tunnels, everywhere. */
const TUNNEL_PORT = 15_008;
const TRUSTED_PREFIX = 'spiffe://cluster.local/';
/** What an HTTP/2 connection of a tunnel holds; as the control plane of Envoy's meshes sets it. */
const TUNNEL_STREAMS_MAX = 100;
const TYPE = 'type.googleapis.com/envoy';
const ORIGINAL_DESTINATION = 'envoy.filters.listener.original_dst';

/**
 * Envoy as a waypoint, in three stages that internal sockets connect: tunnels end (mutual TLS 1.3, CONNECT); the HTTP
 * inside of them is let in by one rule and routed by one route; and a tunnel to the endpoint carries it on. Statistics
 * that Envoy keeps of itself are on; no access log, no statistics of requests by workload.
 */
export function renderEnvoyConfig(place: EnvoyPlace): string {
  const config = {
    bootstrap_extensions: [
      typed(
        'envoy.bootstrap.internal_listener',
        'extensions.bootstrap.internal_listener.v3.InternalListener',
      ),
    ],
    static_resources: {
      listeners: [tunnelEnd(place), requests(place), tunnelBegin()],
      clusters: [toRequests(), toEndpoint(place), toTunnel(place)],
    },
  };
  return JSON.stringify(config, undefined, 1);
}

/** Ends tunnels, and remembers who is at the other end and where it wants to go. */
function tunnelEnd({ files }: EnvoyPlace): object {
  const state = typed('state', 'extensions.filters.http.set_filter_state.v3.Config', {
    on_request_headers: [
      remember('io.istio.peer_principal', '%DOWNSTREAM_PEER_URI_SAN%', 'envoy.string'),
      remember(`${ORIGINAL_DESTINATION}.local_ip`, '%REQ(:AUTHORITY)%'),
      remember(`${ORIGINAL_DESTINATION}.remote_ip`, '%DOWNSTREAM_REMOTE_ADDRESS%'),
    ],
  });
  const route = {
    match: { connect_matcher: {} },
    route: { cluster: 'requests', timeout: '0s', upgrade_configs: [connect] },
  };
  return {
    name: 'tunnel-end',
    address: socketAddress('0.0.0.0', TUNNEL_PORT),
    // A few connections that live long: by chance one thread would have most of them.
    connection_balance_config: { exact_balance: {} },
    filter_chains: [
      {
        transport_socket: tls('DownstreamTlsContext', {
          require_client_certificate: true,
          common_tls_context: tlsContext(files, { prefix: TRUSTED_PREFIX }),
        }),
        filters: [
          manager('tunnel-end', [state, router()], {
            route_config: virtualHost([route]),
            http2_protocol_options: {
              allow_connect: true,
              max_concurrent_streams: TUNNEL_STREAMS_MAX,
            },
            upgrade_configs: [{ upgrade_type: 'CONNECT' }],
            stream_idle_timeout: '0s',
          }),
        ],
      },
    ],
  };
}

/** The HTTP inside of a tunnel. */
function requests({ client, service }: EnvoyPlace): object {
  const principal = { key: 'io.istio.peer_principal', string_match: { exact: client } };
  const policy = {
    permissions: [
      { header: { name: ':method', string_match: { exact: 'GET' } } },
      { header: { name: ':method', string_match: { exact: 'HEAD' } } },
    ],
    principals: [{ filter_state: principal }],
  };
  const allow = typed('rbac', 'extensions.filters.http.rbac.v3.RBAC', {
    rules: { action: 'ALLOW', policies: { allow: policy } },
  });
  const retry = {
    retry_on: 'connect-failure,refused-stream,unavailable,cancelled',
    num_retries: 2,
  };
  const route = {
    name: 'route',
    match: { path_separated_prefix: '/1k' },
    route: { cluster: 'endpoint', timeout: '0s', retry_policy: retry },
  };
  const other = { match: { prefix: '/' }, direct_response: { status: 404 } };
  return {
    name: 'requests',
    internal_listener: {},
    listener_filters: [originalDestination()],
    filter_chains: [
      {
        filter_chain_match: {
          prefix_ranges: [{ address_prefix: service.ip, prefix_len: 32 }],
          destination_port: service.port,
        },
        filters: [
          manager('requests', [allow, router()], {
            route_config: virtualHost([route, other]),
            normalize_path: true,
            stream_idle_timeout: '0s',
          }),
        ],
      },
    ],
  };
}

/** Puts a connection to an endpoint into a tunnel. */
function tunnelBegin(): object {
  const tunnel = typed('tcp', 'extensions.filters.network.tcp_proxy.v3.TcpProxy', {
    stat_prefix: 'tunnel-begin',
    cluster: 'tunnel',
    tunneling_config: { hostname: '%DOWNSTREAM_LOCAL_ADDRESS%' },
  });
  return {
    name: 'tunnel-begin',
    internal_listener: {},
    listener_filters: [originalDestination()],
    filter_chains: [{ filters: [tunnel] }],
  };
}

function toRequests(): object {
  const endpoint = { endpoint: { address: internalAddress('requests') } };
  return {
    name: 'requests',
    circuit_breakers: unlimited,
    load_assignment: { cluster_name: 'requests', endpoints: [{ lb_endpoints: [endpoint] }] },
    transport_socket: internalUpstream([]),
  };
}

function toEndpoint({ endpoint: { ip, port } }: EnvoyPlace): object {
  const where = `${ip}:${port}`;
  const endpoint = {
    endpoint: { address: internalAddress('tunnel-begin', where) },
    metadata: { filter_metadata: { [ORIGINAL_DESTINATION]: { local: where } } },
  };
  return {
    name: 'endpoint',
    circuit_breakers: unlimited,
    lb_policy: 'LEAST_REQUEST',
    connect_timeout: '10s',
    load_assignment: { cluster_name: 'endpoint', endpoints: [{ lb_endpoints: [endpoint] }] },
    transport_socket: internalUpstream([{ kind: { host: {} }, name: ORIGINAL_DESTINATION }]),
  };
}

function toTunnel({ endpoint, files }: EnvoyPlace): object {
  return {
    name: 'tunnel',
    circuit_breakers: unlimited,
    type: 'ORIGINAL_DST',
    lb_policy: 'CLUSTER_PROVIDED',
    connect_timeout: '10s',
    original_dst_lb_config: { upstream_port_override: TUNNEL_PORT },
    typed_extension_protocol_options: {
      [`envoy.extensions.upstreams.http.v3.HttpProtocolOptions`]: {
        '@type': `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: {
          http2_protocol_options: {
            allow_connect: true,
            max_concurrent_streams: TUNNEL_STREAMS_MAX,
          },
        },
      },
    },
    transport_socket: tls('UpstreamTlsContext', {
      common_tls_context: tlsContext(files, { exact: endpoint.identity }),
    }),
  };
}

const most = 0xff_ff_ff_ff;
/** The defaults would let no more than 1,024 connections through. */
const unlimited = {
  thresholds: [
    { max_connections: most, max_pending_requests: most, max_requests: most, max_retries: most },
  ],
};
const connect = { upgrade_type: 'CONNECT', connect_config: {} };

function manager(name: string, filters: readonly object[], fields: object): object {
  return typed(
    'http',
    'extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    { stat_prefix: name, http_filters: filters, ...fields },
  );
}

function remember(key: string, format: string, factory: string = key): object {
  return {
    object_key: key,
    factory_key: factory,
    format_string: { text_format_source: { inline_string: format }, omit_empty_values: true },
    shared_with_upstream: 'ONCE',
  };
}

function virtualHost(routes: readonly object[]): object {
  return { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] };
}

function router(): object {
  return typed('router', 'extensions.filters.http.router.v3.Router');
}

function originalDestination(): object {
  return typed(ORIGINAL_DESTINATION, 'extensions.filters.listener.original_dst.v3.OriginalDst');
}

function internalUpstream(passed: readonly object[]): object {
  const folder = 'extensions.transport_sockets';
  return typed('internal', `${folder}.internal_upstream.v3.InternalUpstreamTransport`, {
    passthrough_metadata: passed,
    transport_socket: typed('raw', `${folder}.raw_buffer.v3.RawBuffer`),
  });
}

function tls(kind: string, fields: object): object {
  return typed('tls', `extensions.transport_sockets.tls.v3.${kind}`, fields);
}

function tlsContext({ certificate, key, authority }: EnvoyPlace['files'], peer: object): object {
  const version = 'TLSv1_3';
  return {
    tls_params: { tls_minimum_protocol_version: version, tls_maximum_protocol_version: version },
    alpn_protocols: ['h2'],
    tls_certificates: [
      { certificate_chain: { filename: certificate }, private_key: { filename: key } },
    ],
    validation_context: {
      trusted_ca: { filename: authority },
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: peer }],
    },
  };
}

function typed(name: string, message: string, fields: object = {}): object {
  return { name, typed_config: { '@type': `${TYPE}.${message}`, ...fields } };
}

function socketAddress(address: string, port: number): object {
  return { socket_address: { address, port_value: port } };
}

function internalAddress(listener: string, endpoint = ''): object {
  return {
    envoy_internal_address: { server_listener_name: listener, endpoint_id: endpoint },
  };
}
