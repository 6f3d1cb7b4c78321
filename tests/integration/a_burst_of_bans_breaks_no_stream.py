import concurrent.futures

from kit import waiting
from kit.mesh import Mesh
from kit.scope import check

BANS, CALLERS = 80, 8


def test(scope):
    mesh = Mesh(scope)

    def all_run_the_newest():
        status = mesh.cli("mesh", "status")
        return len(status["proxies"]) == 2 and all(
            proxy["view_version"] == status["view_version"] for proxy in status["proxies"])
    waiting.until(all_run_the_newest, lambda: f"`lanyard mesh status` says {mesh.cli('mesh', 'status')}")
    before = mesh.cli("mesh", "status")["view_version"]

    # Each changes what every proxy runs, and each proxy says so; as fast as they come.
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda n: mesh.cli("ban", f"spiffe://example.org/nobody/{n}"), range(BANS)))
    waiting.until(all_run_the_newest, lambda: f"`lanyard mesh status` says {mesh.cli('mesh', 'status')}")
    check.assertEqual(mesh.cli("mesh", "status")["view_version"], before + BANS)
    for node in (mesh.client, mesh.server):
        check.assertNotIn("a proxy's status refused", node.agent.log())
        check.assertNotIn("too many statuses", node.proxy.process.log())
