#!/usr/bin/env python3
"""Everything at once for half an hour: mesh_soak.py [--minutes 30]

Request loops, long-lived streams and idle connections across rotations of 30-second SVIDs, while the proxies'
policy files change and (where the command line has it) an identity nobody uses is banned and unbanned. Prints a line
a minute and the figures at the end; exit 0 only if no request failed, no connection was closed but by its ends, no
byte was lost, and each process's memory in the last third is that of the first. Not part of tests/run.sh.
"""

import json
import pathlib
import statistics
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kit import soak, sockets, waiting  # noqa: E402 (needs the path above)
from kit.binaries import staged  # noqa: E402
from kit.holdings import cpu_seconds, descriptors, pss_bytes  # noqa: E402
from kit.mesh import TRUST_DOMAIN, Mesh  # noqa: E402
from kit.scope import Scope  # noqa: E402

LOOPS, STREAMS, IDLE = 4, 8, 20
BLOCK = bytes(range(256)) * 16
SAMPLE_S, CHANGE_S = 5, 7
BYSTANDER = f"spiffe://{TRUST_DOMAIN}/bystander"
# The median of the last third of the samples over that of the first: of one process.
MOST_GROWTH_BYTES = 2 << 20
# Not a line for each connection: they would fill the disk.
QUIET = {"log": {"level": "warning", "format": "json"}}


def patient_echo(connection):
    connection.settimeout(None)  # some callers say nothing until the end
    sockets.echo(connection)


class Load:
    """Threads that count what they do and keep what failed."""

    def __init__(self, mesh, port):
        self.mesh, self.port, self.stop = mesh, port, threading.Event()
        self.failures, self.requests, self.bytes = [], [0] * LOOPS, [0] * STREAMS
        work = [(self._request, i) for i in range(LOOPS)] + [(self._stream, i) for i in range(STREAMS)]
        self._threads = [threading.Thread(target=self._run, args=item, daemon=True) for item in work]
        self._idle = [mesh.connect(port) for _ in range(IDLE)]
        for thread in self._threads:
            thread.start()

    def _run(self, work, what):
        try:
            work(what)
        except (OSError, AssertionError) as error:
            self._failed(f"{work.__name__} {what}", error)

    def _failed(self, what, error):
        self.failures.append(f"{time.strftime('%H:%M:%S')} {what}: {error!r}")

    def _request(self, number):
        while not self.stop.is_set():
            try:
                self.mesh.exchange(self.port, message=BLOCK)
                self.requests[number] += 1
            except (OSError, AssertionError) as error:
                self._failed("a request", error)
            self.stop.wait(0.01)

    def _stream(self, number):
        with self.mesh.connect(self.port) as connection:
            while not self.stop.is_set():
                self._round_trip(connection)
                self.bytes[number] += len(BLOCK)
                self.stop.wait(0.02)

    def _round_trip(self, connection):
        connection.sendall(BLOCK)
        received = sockets.receive_exactly(connection, len(BLOCK))
        assert received == BLOCK, "a stream's bytes changed"

    def finish(self):
        self.stop.set()
        for thread in self._threads:
            thread.join()
        for connection in self._idle:
            with connection:
                self._run(self._speak_at_last, connection)

    def _speak_at_last(self, connection):
        self._round_trip(connection)


class Changes:
    """The policy's and the bans': each takes effect, and none concerns those who are connected."""

    def __init__(self, mesh):
        self._mesh, self.policies, self.bans = mesh, 0, 0
        self._has_bans = mesh.run_cli("bans").returncode == 0

    def make_one(self):
        proxy = self._mesh.server.proxy
        configuration = json.loads(proxy.config_path.read_text())
        rules = configuration["inbound"]["rules"]
        extra = {"name": f"extra-{self.policies}", "peers": [BYSTANDER], "ports": [1]}
        configuration["inbound"]["rules"] = rules[:1] + ([extra] if len(rules) == 1 else [])
        reloads = proxy.metric("lanyard_proxy_config_reloads_total", result="applied")
        written = proxy.config_path.with_suffix(".new")
        written.write_text(json.dumps(configuration, indent=1))
        written.replace(proxy.config_path)
        waiting.until(lambda: proxy.metric("lanyard_proxy_config_reloads_total", result="applied") > reloads,
                      "the changed policy is not taken up")
        self.policies += 1
        if self._has_bans:
            self._mesh.cli("unban" if self.bans % 2 else "ban", BYSTANDER)
            self.bans += 1


class Figures:
    """Samples of what each process holds."""

    def __init__(self, scope):
        self._processes, self._samples = list(scope.processes), []

    def sample(self):
        for process in self._processes:
            process.check_alive()
        self._samples.append({process.name: (pss_bytes(process), descriptors(process)) for process in self._processes})

    def growth(self):
        """name -> (median memory of the first third, of the last, descriptors likewise)."""
        third = max(1, len(self._samples) // 3)
        first, last = self._samples[:third], self._samples[-third:]
        return {process.name: tuple(statistics.median(sample[process.name][what] for sample in part)
                                    for what in (0, 1) for part in (first, last))
                for process in self._processes}

    def report(self):
        for process in self._processes:
            before, after, descriptors_before, descriptors_after = self.growth()[process.name]
            print(f"{process.name}: memory {before / 2**20:.1f} MiB in the first third, {after / 2**20:.1f} in the last; "
                  f"descriptors {descriptors_before:.0f} and {descriptors_after:.0f}; "
                  f"processor {cpu_seconds(process):.1f} s")
        return [name for name, (before, after, _, _) in self.growth().items() if after - before > MOST_GROWTH_BYTES]


def rotations(mesh):
    return [int(node.proxy.metric("lanyard_proxy_identity_rotations_total")) for node in (mesh.client, mesh.server)]


def unexpected_closes(mesh):
    """Lines of /metrics."""
    return [f"{node.proxy.process.name}: {line}" for node in (mesh.client, mesh.server)
            for line in node.proxy.get("/metrics")[1].splitlines()
            if line.startswith("lanyard_proxy_connections_closed_total") and 'reason="normal"' not in line]


def run(minutes):
    with staged(), Scope() as scope:
        mesh = Mesh(scope, lifetimes={"x509_svid": "30s", "node_svid": "120s", "intermediate": "600s", "backdate": "5s"},
                    client=QUIET, server=QUIET)
        load, changes, figures = Load(mesh, mesh.serve(patient_echo).port), Changes(mesh), Figures(scope)
        began = time.monotonic()
        next_sample, next_change, next_line = began, began + CHANGE_S, began + 60
        try:
            while (now := time.monotonic()) < began + 60 * minutes:
                if now >= next_sample:
                    figures.sample()
                    next_sample += SAMPLE_S
                if now >= next_change:
                    changes.make_one()
                    next_change += CHANGE_S
                if now >= next_line:
                    print(f"minute {round((now - began) / 60)}: {sum(load.requests)} requests, "
                          f"{len(load.failures)} failures", flush=True)
                    next_line += 60
                load.stop.wait(max(0, min(next_sample, next_change, next_line) - time.monotonic()))
        finally:
            load.finish()
        return judge(scope, mesh, load, changes, figures, minutes)


def judge(scope, mesh, load, changes, figures, minutes):
    turned = rotations(mesh)
    print(f"requests {sum(load.requests)}, bytes of streams each way {sum(load.bytes)}, failures {len(load.failures)}")
    print(f"rotations of the client's SVID {turned[0]}, of the server's {turned[1]}; policy changes {changes.policies}, "
          f"bans and unbans {changes.bans}")
    grown, closes = figures.report(), unexpected_closes(mesh)
    print(f"unexpected closes {len(closes)}")
    for line in closes + load.failures[:20]:
        print(line)
    if grown:
        print(f"grown by more than {MOST_GROWTH_BYTES >> 20} MiB: {', '.join(grown)}")
    good = not load.failures and not closes and not grown and min(load.requests) > 0 and min(turned) >= 2 * minutes * 0.9
    return soak.exit_code(scope, good)


if __name__ == "__main__":
    parser = soak.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    sys.exit(run(parser.parse_args().minutes))
