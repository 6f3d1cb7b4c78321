from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    mesh.apply_rules()
    for subject in (CLIENT_ID, "spiffe://example.org/*", "agent:client"):
        mesh.wait_until_in_force()
        connection = mesh.connect(server.port)
        connection.sendall(b"x")
        check.assertEqual(connection.recv(1), b"x")
        mesh.cli("ban", subject, "--reason", "a test")
        try:
            end = connection.recv(1)
        except ConnectionResetError:
            end = b""
        check.assertEqual(end, b"", f"{subject} is banned, and its connection carries on")
        connection.close()
        asked = mesh.run_cli("policy", "test", "--workload", SERVER_ID, "--port", str(server.port), "--peer", CLIENT_ID)
        check.assertEqual(asked.returncode, 0 if subject.startswith("agent") else 3, asked.stdout)

        mesh.cli("unban", subject)

        def is_let_in():
            try:
                mesh.exchange(server.port)
                return True
            except (OSError, AssertionError):
                return False

        waiting.until(is_let_in, lambda: f"{subject} is unbanned, and not let in")
