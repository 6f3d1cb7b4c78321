import threading

from kit import sockets, waiting
from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check

ROTATIONS = 4


def test(scope):
    mesh = Mesh(scope, lifetimes={"intermediate": "80s", "x509_svid": "10s", "node_svid": "30s", "backdate": "2s"})
    server = mesh.serve()
    failures, requests, stop = [], [0], threading.Event()

    def call():
        while not stop.is_set():
            try:
                mesh.exchange(server.port)
                requests[0] += 1
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    stream = mesh.connect(server.port)
    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        def rotated():
            stream.sendall(b"tick")  # one connection lives through it all
            assert sockets.receive_exactly(stream, 4) == b"tick"
            serials = {record["peer_serial"] for record in mesh.server.proxy.closed(peer_id=CLIENT_ID)}
            return len(serials) > ROTATIONS or failures
        waiting.until(rotated, "the client's SVID does not rotate", timeout_s=180)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        stream.close()
    check.assertEqual(failures, [], f"of {requests[0] + len(failures)} requests")
    check.assertGreater(requests[0], 20)
