import ssl

from kit import sockets
from kit.certificates import Authority
from kit.namespaces import Namespace
from kit.proxy import Proxy, from_files
from kit.scope import check


def call(namespace, svid):
    """What the echo says to a TLS client with this SVID (None: without one); raises where it is turned away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if svid:
        context.load_cert_chain(svid.certificate, svid.key)
    with sockets.connect("127.0.0.1", 9443, namespace) as plain, context.wrap_socket(plain) as connection:
        connection.sendall(b"hello")
        received = connection.recv(5)
        if received:
            connection.unwrap().close()
        return received


def test(scope):
    namespace = Namespace(scope, "one")
    authority, foreign = Authority(scope.folder), Authority(scope.folder, "elsewhere.org")
    impostor = Authority(scope.folder)  # claims the same trust domain
    server = sockets.Server(scope, sockets.echo, namespace=namespace)
    proxy = Proxy(scope, "proxy", {
        "identity": from_files(authority.svid("/server")),
        "listeners": [{"name": "in", "inbound": {"address": "127.0.0.1:9443",
                                                 "destination": f"127.0.0.1:{server.port}",
                                                 "peers": ["spiffe://example.org/client"]}}]}, namespace)

    check.assertEqual(call(namespace, authority.svid("/client")), b"hello")
    proxy.wait_for_closed(direction="inbound", peer_id="spiffe://example.org/client", close_reason="normal")

    wrong = {
        "no_peer_certificate": None,
        "svid_expired": authority.svid("/client", starts_s=-7200, ends_s=-60),
        "svid_not_yet_valid": authority.svid("/client", starts_s=3600, ends_s=7200),
        "unknown_trust_domain": foreign.svid("/client"),
        "untrusted": impostor.svid("/client"),
        "ca_as_leaf": authority.svid("/client", constraints="CA:TRUE", usage="digitalSignature,keyCertSign"),
        "several_uri_names": authority.svid("/client", uris=["spiffe://example.org/client",
                                                             "spiffe://example.org/other"]),
        "no_spiffe_id": authority.svid("/client", uris=["https://example.org/client"]),
        "bad_key_usage": authority.svid("/client", usage="keyAgreement"),
        # Each of these costs BoringSSL a copy of the issuer's whole name.
        "svid_malformed": authority.svid("/client", more="crlDistributionPoints = point\n[point]\nrelativename = name\n"
                                                    "[name]\nCN = relative\n"),
        "denied_by_policy": authority.svid("/other"),
    }
    accepted = server.accepted
    for reason, svid in wrong.items():
        try:
            check.assertEqual(call(namespace, svid), b"", f"{reason} was let in")
        except (ssl.SSLError, ConnectionError):
            pass
        proxy.wait_for_closed(direction="inbound", close_reason=reason)
    check.assertEqual(server.accepted, accepted, "the application saw a caller that was turned away")
