"""The proxy of a workload that was deleted may have connections open until its SVID ends: a ban closes them at once."""

from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    mesh.apply_rules()
    waiting.until(lambda: len(mesh.cli("mesh", "status")["proxies"]) == 2, "the proxies do not report")
    connection = mesh.connect(server.port)
    connection.settimeout(20)
    connection.sendall(b"x")
    check.assertEqual(connection.recv(1), b"x")

    entry = next(e for e in mesh.cli("entry", "list")["entries"] if e["spiffe_id"] == SERVER_ID)
    mesh.cli("entry", "delete", entry["id"])
    connection.sendall(b"y")
    check.assertEqual(connection.recv(1), b"y", "its rules hold on while its SVID does")

    mesh.cli("ban", CLIENT_ID)
    try:
        end = connection.recv(1)
    except ConnectionResetError:
        end = b""
    check.assertEqual(end, b"", "the caller is banned, and its connection carries on")
    mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=CLIENT_ID, close_reason="banned")
