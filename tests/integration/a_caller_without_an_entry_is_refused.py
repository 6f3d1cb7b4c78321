from kit import processes, waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False)
    mesh.create_entry(SERVER_ID, mesh.server)
    mesh.server.start_proxy(mesh.server_rules())
    mesh.client.start_proxy(mesh.client_rules(), wait=False)
    mesh.client.capture()
    mesh.server.capture()
    server = mesh.serve()

    done = processes.run(["lanyard", "svid", "fetch", "--socket", f"unix://{mesh.client.socket}"],
                         uid=mesh.client.uid)
    check.assertEqual(done.returncode, 1, done.stdout)
    check.assertIn(f"no identity for this process (uid {mesh.client.uid})", done.stderr)
    waiting.until(lambda: mesh.client.proxy.answer("/ready")[0] == 503, "the proxy does not say that it waits")
    # The proxy waits for its first identity, and the caller with it: nothing is let past.
    with mesh.connect(server.port) as connection:
        connection.settimeout(1)
        connection.sendall(b"hello")
        with check.assertRaises(TimeoutError):
            connection.recv(1)
        check.assertEqual(server.accepted, 0, "the application saw a caller that has no identity")

    # It was the entry that was missing.
    mesh.create_entry(CLIENT_ID, mesh.client)
    mesh.client.proxy.wait_until_ready()
    mesh.exchange(server.port)
