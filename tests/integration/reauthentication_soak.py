#!/usr/bin/env python3
"""Long-lived streams across the rotations of 30-second SVIDs: reauthentication_soak.py [--minutes 15] [--streams 50]

Streams of three kinds (TCP, WebSocket, gRPC server streams), of random sizes and directions; two of them are not read
for longer than an SVID lives, again and again. Each end compares count and SHA-256 with what the other says it sent.
Prints how many were closed, the bytes that were wrong and how often each was authenticated anew; exit 0 only if none
was closed, no byte was wrong, every stream was authenticated anew often enough (20 times in 15 minutes), and
/connections of neither proxy ever showed one whose peer's SVID had expired. Not part of tests/run.sh.
"""

import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kit import soak  # noqa: E402 (needs the path above)
from kit.binaries import staged  # noqa: E402
from kit.mesh import SERVER_V4, Mesh  # noqa: E402
from kit.scope import Scope  # noqa: E402
from kit.stream_ends import Streams, mixed  # noqa: E402
from kit.stream_watch import StreamWatch  # noqa: E402

STALL_S = 45
QUIET = {"log": {"level": "warning", "format": "json"}}


def run(minutes, count):
    with staged(), Scope() as scope:
        mesh = Mesh(scope, lifetimes={"x509_svid": "30s", "node_svid": "120s", "intermediate": "600s", "backdate": "5s"},
                    client=QUIET, server=QUIET)
        streams, watch = Streams(mesh, SERVER_V4, mixed(count, stall_s=STALL_S)), StreamWatch(mesh)
        end = time.monotonic() + 60 * minutes
        next_line = time.monotonic() + 60
        while time.monotonic() < end:
            watch.look()
            streams.check()
            if time.monotonic() >= next_line:
                print(f"{watch.open()} streams open, authenticated anew {watch.least()} to {watch.most()} times, "
                      f"{len(watch.expired)} seen with an expired SVID", flush=True)
                next_line += 60
            time.sleep(0.5)
        last = watch.open(), watch.least()
        return judge(scope, mesh, count, minutes, watch, last, streams.finish())


def judge(scope, mesh, count, minutes, watch, last, ends):
    still_open, least = last
    failed = [record for records in ends for record in records.values() if record["error"]]
    missing = sum(count - len(records) for records in ends)
    client, server = ends
    sent = sum(record.get("sent", 0) for records in ends for record in records.values())
    received = sum(record.get("received", 0) for records in ends for record in records.values())
    wrong = sum(abs(client[i].get("sent", 0) - server[i].get("received", 0)) +
                abs(server[i].get("sent", 0) - client[i].get("received", 0)) for i in client if i in server)
    print(f"streams {count}, closed {count - still_open + missing}, ended badly {len(failed)}")
    print(f"bytes sent {sent}, received {received}, wrong {wrong}")
    print(f"authenticated anew: at least {least} times each, at most {watch.most()}; "
          f"put off by a stream that was not read: {watch.put_off():.0f}")
    print(f"seen with an expired SVID of the peer: {len(watch.expired)} in {watch.looks} looks")
    for what in failed[:10] + watch.expired[:10]:
        print(what)
    good = (still_open == count and not failed and not missing and wrong == 0 and sent == received > 0 and
            not watch.expired and least >= int(minutes * 20 / 15))
    return soak.exit_code(scope, good)


if __name__ == "__main__":
    parser = soak.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--streams", type=int, default=50)
    arguments = parser.parse_args()
    sys.exit(run(arguments.minutes, arguments.streams))
