"""The agent is away, and the rules stand in proxy.yaml. Whom the running proxy turns away for a ban that it has heard of,
the one that takes over from it turns away too; without any view of the mesh it does not take over."""

import json

from kit import processes, upgrade
from kit.mesh import SERVER_ID, Mesh
from kit.scope import check

BANNED_ID = "spiffe://example.org/banned"


def test(scope):
    mesh = Mesh(scope, proxies=False)
    mesh.wait_for_agent(mesh.server)
    mesh.wait_for_agent(mesh.client)
    folder = mesh.folder / "server-proxy"  # the proxy's own
    mesh.server.start_proxy({**mesh.server_rules(), "identity": fetched(mesh),
                             "mesh": {"address": f"unix://{mesh.server.socket}",
                                      "state_file": str(folder / "mesh.view")},
                             "upgrade": {"socket": str(folder / "upgrade.sock")}})
    mesh.server.capture()
    mesh.client.start_proxy(mesh.client_rules())
    mesh.client.capture()
    server = mesh.serve()
    mesh.exchange(server.port)
    mesh.cli("ban", BANNED_ID)
    mesh.wait_until_in_force(SERVER_ID)
    proxy = mesh.server.proxy
    check.assertEqual(bans(proxy), [BANNED_ID])
    check.assertEqual(mesh.server.agent.stop(), 0)

    # Nothing is kept: then it waits, and the one that knows goes on.
    kept, away = folder / "mesh.view", folder / "mesh.view.away"
    kept.rename(away)
    done = upgrade.command(scope, proxy, "--timeout", "15s")
    check.assertEqual(done.returncode, 1, done.stdout)
    for part in ("goes on as it was", "not ready within 15s", "waiting for a view of the mesh"):
        check.assertIn(part, done.stderr)
    check.assertEqual(bans(proxy), [BANNED_ID])
    mesh.exchange(server.port)

    away.rename(kept)
    before = proxy.process.pid
    upgrade.upgrade(scope, proxy)
    upgrade.wait_until_gone(before)
    check.assertEqual(bans(proxy), [BANNED_ID])
    view = json.loads(proxy.get("/view")[1])
    check.assertEqual((view["mesh"]["source"], view["mesh"]["connected"]), ("disk", False))
    mesh.exchange(server.port)


def fetched(mesh):
    """An identity in files: without its agent a new proxy can have no other."""
    folder = mesh.folder / "server-home" / "svid"
    folder.parent.mkdir()
    folder.parent.chmod(0o777)
    done = processes.run(["lanyard", "svid", "fetch", "--socket", f"unix://{mesh.server.socket}", "--write", folder],
                         uid=mesh.server.uid)
    check.assertEqual(done.returncode, 0, done.stderr)
    return {"files": {"certificate": str(folder / "svid.pem"), "key": str(folder / "key.pem"),
                      "bundle": str(folder / "bundle.pem")}}


def bans(proxy):
    return [ban["subject"] for ban in json.loads(proxy.get("/view")[1])["bans"]]
