from kit import processes, sockets
from kit.mesh import SERVER_ID, SERVER_V4, Mesh
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
    check.assertFalse(mesh.client.proxy.is_ready())
    try:
        check.assertTrue(sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace))
    except ConnectionRefusedError:
        pass  # a proxy without an identity need not listen
    check.assertEqual(server.accepted, 0)
