import json

from kit import processes, sockets
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, Mesh
from kit.scope import check

BANNED_ID, BANNED_UID = "spiffe://example.org/banned", 21003


def fetched(mesh, node, uid, name):
    """An identity in files: without its agent a restarted proxy can have no other."""
    folder = mesh.folder / f"{name}-home" / "svid"
    folder.parent.mkdir()
    folder.parent.chmod(0o777)
    done = processes.run(["lanyard", "svid", "fetch", "--socket", f"unix://{node.socket}", "--write", folder], uid=uid)
    check.assertEqual(done.returncode, 0, done.stderr)
    return {"files": {"certificate": str(folder / "svid.pem"), "key": str(folder / "key.pem"),
                      "bundle": str(folder / "bundle.pem")}}


def test(scope):
    mesh = Mesh(scope, proxies=False)
    mesh.create_entry(BANNED_ID, mesh.client, [f"unix:uid:{BANNED_UID}"])
    mesh.wait_for_agent(mesh.server)
    mesh.wait_for_agent(mesh.client)
    server, shut = mesh.serve(), mesh.serve()
    mesh.apply([{"name": "server", "workloads": [SERVER_ID],
                 "rules": [{"name": "clients", "ports": [server.port], "peers": ["spiffe://example.org/*"]}]}])
    mesh.cli("ban", BANNED_ID)
    mesh.server.start_proxy({"identity": fetched(mesh, mesh.server, mesh.server.uid, "server"),
                             "mesh": {"address": f"unix://{mesh.server.socket}",
                                      "state_file": str(mesh.folder / "server-proxy" / "mesh.view")}})
    mesh.server.capture()
    # The caller's proxy has its route in its file; the mesh would only get in the way of the ban's other side.
    mesh.client.start_proxy({**mesh.client_rules(), "mesh": {"disabled": True}})
    mesh.client.capture()
    mesh.exchange(server.port)
    mesh.wait_until_in_force(SERVER_ID)  # the ban too

    check.assertEqual(mesh.server.agent.stop(), 0)
    check.assertEqual(mesh.authority.stop(), 0)
    check.assertEqual(mesh.server.proxy.process.stop(), 0)
    mesh.client.proxy.wait_until_links_are_gone()
    mesh.server.proxy.process.start()
    mesh.server.proxy.wait_until_ready()
    view = json.loads(mesh.server.proxy.get("/view")[1])
    check.assertEqual((view["mesh"]["source"], view["mesh"]["connected"]), ("disk", False))
    check.assertEqual([ban["subject"] for ban in view["bans"]], [BANNED_ID])
    mesh.exchange(server.port)
    check.assertTrue(sockets.is_refused(SERVER_V4, shut.port, mesh.client.namespace))
    mesh.server.proxy.wait_for_closed(direction="inbound", close_reason="denied_by_policy")

    # Damaged, it is not used: then nothing passes.
    kept = mesh.folder / "server-proxy" / "mesh.view"
    check.assertEqual(mesh.server.proxy.process.stop(), 0)
    kept.write_bytes(kept.read_bytes()[:-1])
    mesh.server.proxy.process.start()
    mesh.server.proxy.process.wait_for_record(lambda record: "the kept view" in record.get("message", ""), "damage")
    check.assertTrue(sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace))
