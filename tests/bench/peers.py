"""Contenders that Debian does not have: ghostunnel and Envoy, where tests/bench/peers.sh has installed them."""

import certificates
from processes import program
from setups import Mode


def lacks_ghostunnel():
    return None if program("ghostunnel") else "ghostunnel is not installed: tests/bench/peers.sh ghostunnel"


def lacks_envoy():
    return None if program("envoy") else "Envoy is not installed: tests/bench/peers.sh envoy"


def ghostunnel(setup):
    # One thread that runs Go code, as one worker; and X25519 by itself as for the others, where Go's own choice would
    # be the dearer hybrid with ML-KEM.
    environment = ["env", "GOMAXPROCS=1", "GODEBUG=tlsmlkem=0"]
    keys = setup.certificates
    common = ["--cacert", keys / "root.crt", "--cipher-suites", "AES"]
    return [
        [*environment, program("ghostunnel"), "client", "--listen", f"127.0.0.1:{setup.outbound_port}",
         "--target", f"127.0.0.1:{setup.tls_port}", "--cert", keys / "client.chain", "--key", keys / "client.key",
         "--override-server-name", certificates.SERVER_NAME, "--verify-uri", certificates.SERVER_ID, *common],
        [*environment, program("ghostunnel"), "server", "--listen", f"127.0.0.1:{setup.tls_port}",
         "--target", f"127.0.0.1:{setup.server_port}", "--cert", keys / "server.chain", "--key", keys / "server.key",
         "--allow-uri", certificates.CLIENT_ID, *common]]


_ENVOY = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    enable_reuse_port: false
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: bench
          cluster: out
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {directory}/{direction}.access.log
{downstream}
  clusters:
  - name: out
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{thresholds: [{{max_connections: 20000, max_pending_requests: 20000}}]}}
    load_assignment:
      cluster_name: out
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {destination}}}}}}}
{upstream}
overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 20000
"""

_ENVOY_TLS = """\
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}
    common_tls_context:
      tls_params:
        tls_minimum_protocol_version: TLSv1_3
        tls_maximum_protocol_version: TLSv1_3
        ecdh_curves: [X25519]
      tls_certificates:
      - certificate_chain: {{filename: {own}.chain}}
        private_key: {{filename: {own}.key}}
      validation_context:
        trusted_ca: {{filename: {root}}}
        match_typed_subject_alt_names:
        - san_type: URI
          matcher: {{exact: "{peer}"}}
{more}
"""


def envoy(setup):
    keys, full = setup.certificates, setup.mode == Mode.FULL

    def tls(kind, own, peer, more, indent):
        text = _ENVOY_TLS.format(kind=kind, own=keys / own, root=keys / "root.crt", peer=peer, more=more)
        return "".join(" " * indent + line + "\n" for line in text.splitlines())

    upstream = tls("UpstreamTlsContext", "client", certificates.SERVER_ID,
                   f"    sni: {certificates.SERVER_NAME}" + ("\n    max_session_keys: 0" if full else ""), 4)
    downstream = tls("DownstreamTlsContext", "server", certificates.CLIENT_ID,
                     "    require_client_certificate: true"
                     + ("\n    disable_stateless_session_resumption: true" if full else ""), 6)
    commands = []
    for direction, port, destination, above, below in (
            ("outbound", setup.outbound_port, setup.tls_port, "", upstream),
            ("inbound", setup.tls_port, setup.server_port, downstream, "")):
        path = setup.directory / f"{direction}.yaml"
        path.write_text(_ENVOY.format(directory=setup.directory, direction=direction, port=port,
                                      destination=destination, downstream=above, upstream=below))
        commands.append([program("envoy"), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
                         "--config-path", path])
    return commands
