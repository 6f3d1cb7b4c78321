"""TCP, WebSocket and gRPC streams outlive many SVIDs of both sides without losing a byte, also those that are not read
for longer than an SVID lives."""

from kit import waiting
from kit.mesh import SERVER_V4, Mesh
from kit.scope import check
from kit.stream_ends import Streams, mixed
from kit.stream_watch import StreamWatch

AT_LEAST = 4


def test(scope):
    mesh = Mesh(scope, lifetimes={"intermediate": "120s", "x509_svid": "12s", "node_svid": "40s", "backdate": "2s"})
    plan = mixed(12, stalled=2, stall_s=20)
    streams, watch = Streams(mesh, SERVER_V4, plan), StreamWatch(mesh)

    def renewed():
        streams.check()
        watch.look()
        return watch.open() == len(plan) and watch.least() >= AT_LEAST and watch.put_off() > 0

    waiting.until(renewed, lambda: f"{watch.open()} streams, authenticated anew {watch.least()} to {watch.most()} times, "
                  f"{watch.put_off()} put off", timeout_s=200)
    check.assertEqual(watch.expired, [])
    ends = streams.finish()
    client, server = ends
    for records in ends:
        check.assertEqual(sorted(records), sorted(stream["id"] for stream in plan))
        check.assertEqual([record for record in records.values() if record["error"]], [])
    for stream in plan:
        there, back = client[stream["id"]], server[stream["id"]]
        check.assertEqual((there["sent"], there["received"]), (back["received"], back["sent"]))
        check.assertEqual((there["sent"] > 0, back["sent"] > 0), (stream["up"], stream["down"]))
    # An application that has all it wants may end with a reset. A link made ahead of need may be given up in its
    # handshake, when keys rotate: it has no peer, and no stream.
    for node in (mesh.client, mesh.server):
        def ends_of_streams(proxy=node.proxy):
            return [record["close_reason"] for record in proxy.closed() if record["peer_id"]]
        waiting.until(lambda ends=ends_of_streams: len(ends()) == len(plan), "not every stream has ended")
        check.assertLessEqual(set(ends_of_streams()), {"normal", "app_reset", "peer_reset"})
