from kit import processes
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check

CAPTURE = {"outbound_address": ":15001", "inbound_address": ":15006", "mode": "tproxy"}


def test(scope):
    mesh = Mesh(scope, proxies=False)
    for node, rules in ((mesh.server, mesh.server_rules()), (mesh.client, mesh.client_rules())):
        # As strict as a machine may be about where packets come from.
        for where in ("all", "default", "lo", "eth0"):
            processes.run(["sysctl", "-qw", f"net.ipv4.conf.{where}.rp_filter=1"], node.namespace)
        node.start_proxy({**rules, "capture": CAPTURE}, capabilities=("net_raw",))
        node.capture("--mode", "tproxy")
    server = mesh.serve()
    for v6 in (False, True):
        mesh.exchange(server.port, v6)
        mesh.exchange(server.port, v6, message=bytes(1_000_000))
    inbound = mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=CLIENT_ID, count=4)
    outbound = mesh.client.proxy.wait_for_closed(direction="outbound", peer_id=SERVER_ID, count=4)
    for record in (inbound, outbound):
        check.assertEqual(record["close_reason"], "normal", record)
        check.assertIn(str(server.port), record["destination"])
    # A proxy that is gone lets nobody past it: neither out nor in.
    mesh.server.proxy.process.kill()
    check.assertFalse(works(mesh, server))
    mesh.client.proxy.process.kill()
    before = server.accepted
    check.assertFalse(works(mesh, server))
    processes.run(["lanyard", "capture", "down"], mesh.client.namespace)
    check.assertFalse(works(mesh, server), "a plain caller reached the server past its captured port")
    check.assertEqual(server.accepted, before)
    processes.run(["lanyard", "capture", "down"], mesh.server.namespace)
    check.assertTrue(works(mesh, server))


def works(mesh, server):
    try:
        mesh.exchange(server.port)
        return True
    except (OSError, AssertionError):
        return False
