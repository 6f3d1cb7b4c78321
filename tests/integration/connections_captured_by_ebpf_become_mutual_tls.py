from kit import ebpf, processes, sockets
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, SERVER_V6, Mesh
from kit.scope import check


def test(scope):
    ebpf.hide_mounts()
    ebpf.mount_file_system()
    mesh = Mesh(scope)
    if ebpf.lacking():
        done = processes.run(["lanyard", "capture", "up", "--mode", "ebpf", "--proxy-uid", "7"], mesh.client.namespace)
        check.assertEqual(done.returncode, 1, done.stdout)
        check.assertIn("BPF", done.stderr)
        mesh.exchange(mesh.serve().port)  # what was in force still is
        return
    for node in (mesh.client, mesh.server):
        node.capture("--mode", "ebpf")  # in the place of packet filters
        listed = processes.run(["nft", "list", "ruleset"], node.namespace)
        check.assertEqual(listed.stdout, "", "packet filters were left behind")
        checked = processes.run(["lanyard", "check", "--skip", "authority,agent,proxy"], node.namespace)
        check.assertEqual(checked.returncode, 0, checked.stdout)
    for v6 in (False, True):
        server = mesh.serve()
        mesh.exchange(server.port, v6=v6)
        destination = f"[{SERVER_V6}]:{server.port}" if v6 else f"{SERVER_V4}:{server.port}"
        for proxy, fields in ((mesh.server.proxy, {"direction": "inbound", "peer_id": CLIENT_ID}),
                              (mesh.client.proxy, {"direction": "outbound", "peer_id": SERVER_ID})):
            closed = proxy.wait_for_closed(destination=destination, **fields)
            check.assertEqual(closed["close_reason"], "normal", closed)

    # A proxy that is gone lets nobody past it, and one that comes back is found.
    server = mesh.serve()
    mesh.server.proxy.process.kill()
    check.assertTrue(sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace))
    check.assertEqual(server.accepted, 0)
    mesh.client.proxy.wait_until_links_are_gone()
    mesh.server.proxy.process.start()
    mesh.server.proxy.wait_until_ready()
    mesh.exchange(server.port)
