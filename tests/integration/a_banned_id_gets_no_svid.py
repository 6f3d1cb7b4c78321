from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, lifetimes={"x509_svid": "6s", "backdate": "2s"}, proxies=False)
    for node in (mesh.client, mesh.server):
        mesh.wait_for_agent(node)
    banned = mesh.cli("ban", CLIENT_ID, "--reason", "leaked key")
    check.assertIsNone(banned["expires_at"])

    # Its renewals stop, and with the SVID it has it ends; the other goes on.
    waiting.until(lambda: "refused an X.509-SVID" in mesh.authority.log(), lambda: "the authority refuses nothing")
    waiting.until(lambda: mesh.fetch(mesh.client, mesh.client.uid).returncode != 0,
                  lambda: "the banned workload still has an SVID")
    refused = [str(record) for record in mesh.authority.records() if "refused an X.509-SVID" in record["message"]]
    check.assertTrue(refused and all(f"{CLIENT_ID} is banned until it is unbanned" in line for line in refused), refused)
    mesh.wait_for_agent(mesh.server)  # it may be between two of them, if it is late with the next

    # A second ban takes the first one's place, and says so.
    again = mesh.cli("ban", CLIENT_ID, "--for", "1h")
    check.assertEqual([again["reason"], again["replaced"]["reason"]], ["", "leaked key"])
    # One that names nobody is in force, and says so.
    for subject in ("spiffe://example.org/cleint", "agent:nosuch"):
        done = mesh.run_cli("ban", subject)
        check.assertEqual(done.returncode, 0)
        check.assertIn("warning: the ban is in force, but no", done.stderr)
        mesh.cli("unban", subject)

    mesh.cli("unban", CLIENT_ID)
    check.assertEqual(mesh.cli("bans")["bans"], [])
    waiting.until(lambda: mesh.fetch(mesh.client, mesh.client.uid).returncode == 0,
                  lambda: f"unbanned, and still without an SVID:\n{mesh.client.agent.tail()}")

    # A ban with an end goes by itself.
    mesh.cli("ban", SERVER_ID, "--for", "8s")
    check.assertEqual([ban["subject"] for ban in mesh.cli("bans")["bans"]], [SERVER_ID])
    waiting.until(lambda: mesh.cli("bans")["bans"] == [], lambda: "the ban is still there")
    mesh.authority.wait_for_record(lambda record: "a ban has ended" in record["message"], "end of a ban")
