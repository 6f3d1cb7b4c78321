import re
import stat

from kit import processes
from kit.certificates import openssl
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.proxy import Proxy
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, proxies=False)
    server = mesh.serve()
    proxy = Proxy(scope, "proxy", {
        "identity": {"workload_api": f"unix://{mesh.server.socket}"},
        "listeners": [{"name": "in", "inbound": {"address": "0.0.0.0:9443", "destination": f"127.0.0.1:{server.port}",
                                                 "peers": [CLIENT_ID]}}]}, mesh.server.namespace, mesh.server.uid)
    mesh.wait_for_agent(mesh.client)
    folder = scope.folder / "home" / "svid"
    folder.parent.mkdir()
    folder.parent.chmod(0o777)
    done = processes.run(["lanyard", "svid", "fetch", "--socket", f"unix://{mesh.client.socket}", "--write", folder],
                         uid=mesh.client.uid)
    check.assertEqual(done.returncode, 0, done.stderr)
    check.assertIn(CLIENT_ID, done.stdout)
    check.assertEqual(stat.S_IMODE((folder / "key.pem").stat().st_mode), 0o600)

    # Debian's openssl accepts the chain by its strict reading of RFC 5280...
    parts = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", (folder / "svid.pem").read_text(), re.S)
    check.assertGreater(len(parts), 1, "the chain lacks its intermediate")
    (folder / "leaf.pem").write_text(parts[0])
    (folder / "intermediates.pem").write_text("".join(parts[1:]))
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", folder / "bundle.pem", "-untrusted",
            folder / "intermediates.pem", folder / "leaf.pem")

    # ... and is let in with it, having verified the other side by the same bundle.
    done = processes.run(
        ["openssl", "s_client", "-connect", "10.77.0.2:9443", "-cert", folder / "svid.pem", "-cert_chain",
         folder / "svid.pem", "-key", folder / "key.pem", "-CAfile", folder / "bundle.pem", "-verify_return_error",
         "-x509_strict", "-quiet", "-no_ign_eof"], mesh.client.namespace, stdin="Q is not the first letter\n")
    record = proxy.wait_for_closed(direction="inbound")
    check.assertEqual(record["peer_id"], CLIENT_ID, record)
    check.assertEqual(record["local_id"], SERVER_ID, record)
    check.assertIn("verify return:1", done.stderr)
