"""Long-lived streams outlive many SVIDs of both sides: every byte arrives once and in order, both ways, also where one
side has finished; no connection is left with an SVID that has expired."""

import datetime
import hashlib
import random
import socket
import threading
import time

from kit import sockets, waiting
from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check

ECHOED, HALF_CLOSED = 6, 2
AT_LEAST = 4  # re-authentications a stream


def test(scope):
    mesh = Mesh(scope, lifetimes={"intermediate": "120s", "x509_svid": "12s", "node_svid": "40s", "backdate": "2s"})
    stop = threading.Event()

    def serve(connection):
        kind = sockets.receive_exactly(connection, 1)
        if kind == b"e":  # echo
            while part := connection.recv(1 << 16):
                connection.sendall(part)
            return
        check.assertEqual(sockets.receive_all(connection), b"no more")  # the client has finished, this side goes on
        sent = hashlib.sha256()
        while not stop.is_set():
            part = random.randbytes(random.randrange(1, 30000))
            connection.sendall(part)
            sent.update(part)
            time.sleep(0.05)
        served.append(sent.hexdigest())

    served, received, failures = [], [], []
    server = mesh.serve(serve)

    def echo(connection, seed):
        source = random.Random(seed)
        try:
            connection.sendall(b"e")
            while not stop.is_set():
                part = source.randbytes(source.randrange(1, 60000))
                connection.sendall(part)
                if sockets.receive_exactly(connection, len(part)) != part:
                    failures.append(f"stream {seed}: other bytes came back")
                    return
                time.sleep(0.02)
            connection.shutdown(socket.SHUT_WR)
            check.assertEqual(sockets.receive_all(connection), b"")
        except (OSError, AssertionError) as error:
            failures.append(f"stream {seed}: {error!r}")

    def listen(connection):
        try:
            connection.sendall(b"h" + b"no more")
            connection.shutdown(socket.SHUT_WR)
            received.append(hashlib.sha256(sockets.receive_all(connection)).hexdigest())
        except (OSError, AssertionError) as error:
            failures.append(f"half-closed stream: {error!r}")

    streams = [mesh.connect(server.port) for _ in range(ECHOED + HALF_CLOSED)]
    threads = [threading.Thread(target=echo, args=(stream, i)) for i, stream in enumerate(streams[:ECHOED])]
    threads += [threading.Thread(target=listen, args=(stream,)) for stream in streams[ECHOED:]]
    for thread in threads:
        thread.start()
    serials = {}  # of the client's SVIDs, by connection

    def renewed():
        now = datetime.datetime.now(datetime.timezone.utc)
        for record in mesh.server.proxy.connections():
            if record["peer_id"] != CLIENT_ID or record["state"] != "relaying":
                continue
            check.assertEqual(record["protocol"], "lanyard/1", record)
            expiry = datetime.datetime.fromisoformat(record["peer_not_after"].replace("Z", "+00:00"))
            check.assertGreater(expiry + datetime.timedelta(seconds=1), now, record)
            serials.setdefault(record["id"], set()).add(record["peer_serial"])
        often = len(serials) == len(streams) and all(len(each) > AT_LEAST for each in serials.values())
        return failures or often
    try:
        waiting.until(renewed, lambda: f"serials seen: {serials}", timeout_s=200)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for stream in streams:
            stream.close()
    check.assertEqual(failures, [])
    waiting.until(lambda: len(served) == HALF_CLOSED, "the server did not finish")
    check.assertEqual(sorted(received), sorted(served))
    check.assertEqual(server.errors, [])
    for node in (mesh.client, mesh.server):
        node.proxy.wait_for_closed(count=len(streams), close_reason="normal")
        # A link made ahead of need may be given up in its handshake, when keys rotate: it has no peer, and no stream.
        check.assertEqual([record for record in node.proxy.closed()
                           if record["peer_id"] and record["close_reason"] != "normal"], [])
    total = sum(mesh.client.proxy.metric("lanyard_proxy_reauthentications_total", cause=cause)
                for cause in ("own_rotation", "peer_asked", "expiry_near"))
    check.assertGreaterEqual(total, len(streams) * AT_LEAST)
