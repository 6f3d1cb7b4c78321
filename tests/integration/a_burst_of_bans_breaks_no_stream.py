import concurrent.futures

from kit.mesh import Mesh
from kit.scope import check

BANS, CALLERS = 80, 8


def test(scope):
    mesh = Mesh(scope)
    mesh.wait_until_in_force()
    before = mesh.cli("mesh", "status")["view_version"]

    # Each changes what every proxy runs, and each proxy says so; as fast as they come.
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda n: mesh.cli("ban", f"spiffe://example.org/nobody/{n}"), range(BANS)))
    mesh.wait_until_in_force()
    check.assertEqual(mesh.cli("mesh", "status")["view_version"], before + BANS)
    for node in (mesh.client, mesh.server):
        check.assertNotIn("a proxy's status refused", node.agent.log())
        check.assertNotIn("too many statuses", node.proxy.process.log())
