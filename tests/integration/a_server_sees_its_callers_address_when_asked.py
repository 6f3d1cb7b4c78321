from kit import processes
from kit.mesh import CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Mesh
from kit.scope import check
from kit.sockets import receive_all


def serve(connection):
    """Says whom it sees, to whoever asks."""
    connection.recv(100)
    connection.sendall(connection.getpeername()[0].removeprefix("::ffff:").encode())


def test(scope):
    mesh = Mesh(scope, proxies=False)
    mesh.client.start_proxy(mesh.client_rules())
    mesh.client.capture()
    server = mesh.serve(serve)

    def seen(v6):
        with mesh.connect(server.port, v6) as connection:
            connection.sendall(b"who am I?")
            return receive_all(connection).decode()

    for mode in ("redirect", "tproxy"):
        for preserve in (False, True):
            capture = {"outbound_address": ":15001", "inbound_address": ":15006", "mode": mode,
                       "preserve_source": preserve}
            mesh.server.start_proxy({**mesh.server_rules(), "capture": capture}, capabilities=("net_raw",))
            mesh.server.capture("--mode", mode, *(["--preserve-source"] if preserve else []))
            for v6 in (False, True):
                own, caller = (SERVER_V6, CLIENT_V6) if v6 else (SERVER_V4, CLIENT_V4)
                for _ in range(3):
                    check.assertEqual(seen(v6), caller if preserve else own, f"{mode}, preserve {preserve}")
            mesh.server.proxy.process.stop()
            mesh.client.proxy.wait_until_links_are_gone()

    # Whoever may not have others' addresses is told at the start.
    capture = {"outbound_address": ":15001", "inbound_address": ":15006", "preserve_source": True}
    mesh.server.start_proxy({**mesh.server_rules(), "capture": capture}, wait=False)
    check.assertNotEqual(mesh.server.proxy.process.wait(), 0)
    check.assertIn("CAP_NET_RAW", mesh.server.proxy.process.log())
    processes.run(["lanyard", "capture", "down"], mesh.server.namespace)
