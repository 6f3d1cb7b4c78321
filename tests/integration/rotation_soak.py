#!/usr/bin/env python3
"""Short-lived SVIDs under load for minutes: rotation_soak.py [--minutes 5]

8 request loops and one long-lived stream across every rotation of 20-second SVIDs. Prints requests, failures,
rotations, and bytes sent, received and lost; exit 0 only if nothing failed, nothing was lost and the SVIDs rotated
at least twice a minute. Not part of tests/run.sh.
"""

import pathlib
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kit import soak, sockets  # noqa: E402 (needs the path above)
from kit.binaries import staged  # noqa: E402
from kit.mesh import CLIENT_ID, Mesh  # noqa: E402
from kit.scope import Scope  # noqa: E402

LOOPS = 8
BLOCK = bytes(range(256)) * 16


def call_until(stop, mesh, port, counts, failures):
    while not stop.is_set():
        try:
            mesh.exchange(port, message=BLOCK)
            counts["requests"] += 1
        except (OSError, AssertionError) as error:
            failures.append(f"{time.strftime('%H:%M:%S')} {error!r}")


def stream_until(stop, mesh, port, counts, failures):
    """One connection: everything that is sent must come back in order."""
    try:
        with mesh.connect(port) as connection:
            while not stop.is_set():
                connection.sendall(BLOCK)
                counts["sent"] += len(BLOCK)
                received = sockets.receive_exactly(connection, len(BLOCK))
                counts["received"] += len(received)
                if received != BLOCK:
                    raise AssertionError("the stream's bytes changed")
                stop.wait(0.01)
    except (OSError, AssertionError) as error:
        failures.append(f"{time.strftime('%H:%M:%S')} stream: {error!r}")


def run(minutes):
    with staged(), Scope() as scope:
        mesh = Mesh(scope, lifetimes={"x509_svid": "20s", "node_svid": "60s", "intermediate": "120s", "backdate": "5s"})
        server = mesh.serve()
        stop, failures = threading.Event(), []
        counts = [{"requests": 0} for _ in range(LOOPS)]
        stream = {"sent": 0, "received": 0}
        threads = [threading.Thread(target=call_until, args=(stop, mesh, server.port, count, failures))
                   for count in counts]
        threads.append(threading.Thread(target=stream_until, args=(stop, mesh, server.port, stream, failures)))
        for thread in threads:
            thread.start()
        try:
            for minute in range(1, minutes + 1):
                stop.wait(60)
                print(f"minute {minute}: {sum(c['requests'] for c in counts)} requests, {len(failures)} failed", flush=True)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        serials = {record["peer_serial"] for record in mesh.server.proxy.closed(peer_id=CLIENT_ID)}
        requests, lost = sum(count["requests"] for count in counts), stream["sent"] - stream["received"]
        print(f"requests {requests + len(failures)}, failed {len(failures)}")
        print(f"rotations of the client's SVID {len(serials) - 1}")
        print(f"stream: {stream['sent']} bytes sent, {stream['received']} received, {lost} lost")
        for failure in failures[:20]:
            print(failure)
        good = not failures and lost == 0 and requests > 0 and len(serials) - 1 >= 2 * minutes
        return soak.exit_code(scope, good)


if __name__ == "__main__":
    parser = soak.parser(__doc__)
    parser.add_argument("--minutes", type=int, default=5)
    sys.exit(run(parser.parse_args().minutes))
