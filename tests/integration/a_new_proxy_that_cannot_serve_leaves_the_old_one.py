"""The new process has a bad configuration, no identity, an address that is taken, or does not exist: the old one goes
on as if nothing had happened, the command says why, and an upgrade is possible right after."""

import json
import os
import stat

from kit import processes, sockets, upgrade
from kit.pair import Pair
from kit.scope import check


def test(scope):
    path = scope.folder / "upgrade.sock"
    pair = Pair(scope, server={"upgrade": {"socket": str(path)}})
    proxy = pair.server.proxy
    pid = proxy.process.pid
    good = json.loads(proxy.config_path.read_text())
    check.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    with pair.connect() as connection:
        connection.sendall(b"before")
        check.assertEqual(sockets.receive_exactly(connection, 6), b"before")

        def fails(*words, says):
            done = upgrade.command(scope, proxy, *words)
            check.assertEqual(done.returncode, 1, done.stdout)
            check.assertIn("goes on as it was", done.stderr)
            for part in says:
                check.assertIn(part, done.stderr)
            check.assertTrue(upgrade.alive(pid))
            check.assertEqual(proxy.get("/ready")[0], 200)
            pair.exchange()
            connection.sendall(b"meanwhile")
            check.assertEqual(sockets.receive_exactly(connection, 9), b"meanwhile")

        other = scope.folder / "other.yaml"
        other.write_text(json.dumps({**good, "workers": -1, "limit": {}}))
        fails("--config", str(other), says=["workers:", "limit:"])
        other.write_text(json.dumps({**good, "identity": {"workload_api": f"unix://{scope.folder}/nobody.sock"}}))
        fails("--config", str(other), "--timeout", "6s", says=["not ready within 6s", "first identity"])
        sockets.Server(scope, sockets.echo, 9777, "127.0.0.1", pair.server.namespace)
        taken = {"name": "more", "inbound": {"address": "127.0.0.1:9777", "destination": "127.0.0.1:9100",
                                             "peers": [pair.client.svid.spiffe_id]}}
        other.write_text(json.dumps({**good, "listeners": [*good["listeners"], taken]}))
        fails("--config", str(other), says=["127.0.0.1:9777 is in use"])
        fails("--binary", "/nonexistent/lanyard-proxy", says=["/nonexistent/lanyard-proxy could not be started"])
        fails("--binary", "/bin/false", says=["ended before it served"])

    # Another user is not heard, whatever it asks for.
    done = processes.run(["lanyard", "proxy", "upgrade", "--socket", path], pair.server.namespace, uid=65534)
    check.assertEqual(done.returncode, 1)
    check.assertTrue(upgrade.alive(pid))

    next_pid = upgrade.upgrade(scope, proxy)
    upgrade.wait_until_gone(pid)
    check.assertEqual(proxy.process.wait(), 0)
    pair.exchange()
    last_pid = upgrade.upgrade(scope, proxy)  # the socket was handed over as well
    upgrade.wait_until_gone(next_pid)
    pair.exchange()
    check.assertTrue(upgrade.alive(last_pid))

    done = upgrade.command(scope, pair.client.proxy)
    check.assertEqual(done.returncode, 1)
    check.assertIn("upgrade.socket", done.stderr, "one without a socket says how it gets one")
