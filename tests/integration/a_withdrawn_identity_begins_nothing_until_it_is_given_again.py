"""When a workload's entry is deleted its proxy calls nobody any more and lets nobody in, and says so; what is
open goes on. Once the entry is there again so does everything else."""

import json
import time

from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check

WITHDRAWN_AFTER_S = 10  # the source may give it again in a moment
AND_SOME_S = 30


def is_withdrawn(node):
    return node.proxy.metric("lanyard_proxy_identity_withdrawn") == 1


def is_answered(mesh, port):
    try:
        with mesh.connect(port) as call:
            call.settimeout(20)
            call.sendall(b"y")
            return call.recv(1) == b"y"
    except OSError:
        return False


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    open_call = mesh.connect(server.port)
    open_call.settimeout(20)

    def goes_on():
        open_call.sendall(b"x")
        check.assertEqual(open_call.recv(1), b"x")

    goes_on()
    both = (mesh.client, mesh.server)
    check.assertEqual([is_withdrawn(node) for node in both], [False, False])

    began = time.monotonic()
    for entry in mesh.cli("entry", "list")["entries"]:
        mesh.cli("entry", "delete", entry["id"])
    waiting.until(lambda: all(is_withdrawn(node) for node in both), "nothing was withdrawn",
                  WITHDRAWN_AFTER_S + AND_SOME_S)
    check.assertGreaterEqual(time.monotonic() - began, WITHDRAWN_AFTER_S)
    status, reason = mesh.server.proxy.get("/ready")
    check.assertEqual(status, 503)
    check.assertIn(f"the identity {SERVER_ID} was withdrawn; its source said last: no entry matches", reason)
    check.assertTrue(json.loads(mesh.server.proxy.get("/identity")[1])["withdrawn"])
    mesh.server.proxy.process.wait_for_record(lambda record: record.get("message", "").startswith("identity withdrawn"),
                                              "withdrawal")
    check.assertFalse(is_answered(mesh, server.port), "it calls all the same")
    mesh.client.proxy.wait_for_closed(direction="outbound", close_reason="identity_withdrawn")
    goes_on()

    mesh.create_entry(CLIENT_ID, mesh.client)
    waiting.until(lambda: not is_withdrawn(mesh.client), "the caller's was not given again")

    def is_refused_there():
        check.assertFalse(is_answered(mesh, server.port), "it lets callers in all the same")
        return mesh.server.proxy.closed(direction="inbound", close_reason="identity_withdrawn")

    waiting.until(is_refused_there, "the caller's proxy does not call, or the called one does not say why it refuses")
    goes_on()

    mesh.create_entry(SERVER_ID, mesh.server)
    waiting.until(lambda: is_answered(mesh, server.port), "callers are still refused")
    mesh.server.proxy.wait_until_ready()
    goes_on()
