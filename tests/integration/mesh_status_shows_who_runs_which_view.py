from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)

    def proxies():
        status = mesh.cli("mesh", "status")
        return status, {proxy["spiffe_id"]: proxy for proxy in status["proxies"]}

    def all_run_the_newest():
        status, by_id = proxies()
        # A proxy may run its view a moment before it has its first SVID, or says so.
        newest = status["view_version"]
        return set(by_id) == {CLIENT_ID, SERVER_ID} and all(
            proxy["view_version"] == newest for proxy in by_id.values())
    waiting.until(all_run_the_newest, lambda: f"`lanyard mesh status` says {mesh.cli('mesh', 'status')}")
    before, by_id = proxies()
    check.assertTrue(by_id[SERVER_ID]["agent"].endswith("/server"))
    check.assertEqual(before["not_connected"], [])

    mesh.cli("ban", "spiffe://example.org/nobody")
    waiting.until(lambda: mesh.cli("mesh", "status")["view_version"] > before["view_version"], "no newer version")
    waiting.until(all_run_the_newest, lambda: f"`lanyard mesh status` says {mesh.cli('mesh', 'status')}")

    # A proxy that stops runs nothing.
    check.assertEqual(mesh.client.proxy.process.stop(), 0)
    waiting.until(lambda: set(proxies()[1]) == {SERVER_ID}, "a stopped proxy is still shown")

    # Of an agent that is away nothing is known, and that is said.
    agent = by_id[SERVER_ID]["agent"]
    mesh.server.agent.kill()
    waiting.until(lambda: proxies()[0]["not_connected"], lambda: f"`lanyard mesh status` says {proxies()[0]}")
    status, by_id = proxies()
    check.assertEqual((by_id, [away["agent"] for away in status["not_connected"]]), ({}, [agent]))
    check.assertIn(f"not heard  {agent}: this agent is not connected", mesh.run_cli("mesh", "status").stdout)
