"""One contender, once: start its pair, put it under every load, return what each cost."""

import contextlib
import dataclasses
import json
import os
import subprocess
import time

import contenders
import processes
from processes import CpuTime, Failure
from setups import Mode, Setup


@dataclasses.dataclass
class Plan:
    """How much of each load."""
    request_seconds: float
    storm_seconds: float
    storm_rate: int        # new connections a second
    new_connections: int
    bulk_bytes: int
    idle_connections: int


FULL = Plan(request_seconds=3, storm_seconds=4, storm_rate=500, new_connections=2000, bulk_bytes=1_000_000_000,
            idle_connections=1000)
QUICK = Plan(request_seconds=0.5, storm_seconds=0.5, storm_rate=500, new_connections=200, bulk_bytes=100_000_000,
             idle_connections=100)

# Row name -> connections, bytes of a request.
REQUEST_ROWS = {"1x64B": (1, 64), "32x64B": (32, 64), "32x4KiB": (32, 4096)}

_SETTLE_S = 0.3  # for proxies to finish closing, before their counters are read


class Bench:
    """The load generator, the echo server and where things are."""

    def __init__(self, load_binary, lanyard_proxy, directory, certificates, pair_cpus, load_cpus):
        self.load_binary, self.lanyard_proxy = load_binary, lanyard_proxy
        self.directory, self.certificates = directory, certificates
        self.pair_cpus, self.load_cpus = pair_cpus, load_cpus
        self.server = processes.Process([load_binary, "server", "--listen", "127.0.0.1:0"], directory / "server.log",
                                        load_cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.server.popen.stdout.readline().split()
        if len(line) != 2:
            raise Failure(f"the echo server did not start: {self.server.output()}")
        self.server_port = int(line[1])

    def close(self):
        self.server.stop()

    def start_pair(self, name, directory, mode):
        """The contender's processes (none for direct) and the port to send the load to."""
        setup = Setup(directory, self.certificates, processes.free_port(), processes.free_port(), self.server_port,
                      self.lanyard_proxy, mode)
        commands = contenders.CONTENDERS[name].commands(setup)
        pair = []
        try:
            for number, command in enumerate(commands):
                pair.append(processes.Process(command, directory / f"proxy{number}.log", self.pair_cpus))
            port = setup.outbound_port if pair else self.server_port
            processes.wait_for_echo(port, pair)
        except BaseException:
            for process in pair:
                process.stop()
            raise
        return pair, port

    def load(self, port, mode, at_work=None, **flags):
        """Runs one load; at_work() is called before it, and again after, with its connections still open."""
        command = [self.load_binary, mode, "--target", f"127.0.0.1:{port}"]
        for key, value in flags.items():
            command += [f"--{key}", value]
        log = self.directory / "load.log"
        with processes.Process(command, log, self.load_cpus, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE) as process:
            pipe = process.popen.stdout
            if pipe.readline() != "ready\n":
                raise Failure(f"{' '.join(process.command)}: {process.output()}")
            before = at_work() if at_work else None
            process.popen.stdin.write("go\n")
            process.popen.stdin.flush()
            line = pipe.readline()
            if not line:
                raise Failure(f"{' '.join(process.command)}: {process.output()}")
            if mode == "connections":
                time.sleep(_SETTLE_S)
            after = at_work() if at_work else None
            return json.loads(line), before, after


@contextlib.contextmanager
def running(bench, name, directory, mode):
    """The pair's processes, their pids and the port; ends them, and shows their logs after a failure."""
    directory.mkdir()
    pair, port = bench.start_pair(name, directory, mode)
    try:
        yield pair, processes.family([process.pid for process in pair]), port
        for process in pair:
            process.check_alive()
    except Failure as failure:
        outputs = "\n".join(f"{process.command[0]}:\n{process.output()}" for process in pair)
        raise Failure(f"{name}: {failure}\n{outputs}") from failure
    finally:
        for process in pair:
            process.stop()


def measure(bench, name, directory, plan):
    """Returns {row: {figure: number}} for one contender in one round."""
    if name == "aead":
        return _aead(bench)
    contender = contenders.CONTENDERS[name]
    rows = {}
    directory.mkdir()
    with running(bench, name, directory / "default", Mode.DEFAULT) as (pair, pids, port):
        if pair:
            rows["memory"] = _memory(bench, port, pids, len(pair), plan)
        for row, (connections, size) in REQUEST_ROWS.items():
            result, cost = _cost(bench, port, pids, "requests", connections=connections, size=size,
                                 seconds=plan.request_seconds)
            rows[row] = _rates(result, cost)
        for row in ("bulk-up", "bulk-down"):
            result, cost = _cost(bench, port, pids, row, bytes=plan.bulk_bytes)
            rows[row] = {"mb_per_second": result["bytes"] / result["seconds"] / 1e6,
                         **_per(cost, result["bytes"] / 1e9)}
        if contender.pools:
            rows["connections-pooled"] = _new_connections(bench, port, pids, plan)
        if not contender.encrypts:
            rows["connections"] = _new_connections(bench, port, pids, plan)
            rows["storm"] = _storm(bench, port, plan)
    if contender.encrypts:
        with running(bench, name, directory / "full", Mode.FULL) as (_, pids, port):
            rows["connections"] = _new_connections(bench, port, pids, plan)
            rows["storm"] = _storm(bench, port, plan)  # last: who cannot keep up is left with a queue
        if contender.resumes:
            with running(bench, name, directory / "resumed", Mode.RESUMED) as (_, pids, port):
                rows["connections-resumed"] = _new_connections(bench, port, pids, plan)
    return rows


def _aead(bench):
    """What the records of each load cost: a request and its answer are one record each, sealed and opened once."""
    done = subprocess.run([bench.load_binary, "aead"], check=True, capture_output=True, text=True,
                          preexec_fn=lambda: bench.pair_cpus and os.sched_setaffinity(0, bench.pair_cpus))
    record_ns = {int(key.split("_")[1]): value for key, value in json.loads(done.stdout).items()}
    rows = {row: {"cpu_s": 2 * 1000 * record_ns[size] / 1e9} for row, (_, size) in REQUEST_ROWS.items()}
    rows["bulk-up"] = rows["bulk-down"] = {"cpu_s": record_ns[16384] / 16384}
    return rows


def _storm(bench, port, plan):
    result, _, _ = bench.load(port, "storm", connections=1, rate=plan.storm_rate, seconds=plan.storm_seconds)
    return {"p50_us": result["p50_us"], "p99_us": result["p99_us"], "requests": result["count"],
            "answered_per_second": result["answered"] / result["seconds"], "failed": result["failed"],
            "left_out": result["left_out"]}


def _new_connections(bench, port, pids, plan):
    result, cost = _cost(bench, port, pids, "connections", connections=8, count=plan.new_connections)
    if result["failed"]:
        raise Failure(f"{result['failed']} of {plan.new_connections} new connections failed")
    return _rates(result, cost)


def _rates(result, cost):
    return {"per_second": result["count"] / result["seconds"], "p50_us": result["p50_us"],
            "p99_us": result["p99_us"], **_per(cost, result["count"] / 1000)}


def _cost(bench, port, pids, mode, **flags):
    result, before, after = bench.load(port, mode, lambda: CpuTime.of(pids), **flags)
    return result, after.since(before)


def _per(cost, units):
    return {"cpu_s": cost.total / units, "user_s": cost.user / units, "system_s": cost.system / units}


def _memory(bench, port, pids, proxies, plan):
    # A few connections first, so that what is made once does not count as the cost of each.
    bench.load(port, "idle", connections=16)
    time.sleep(_SETTLE_S)
    rest = processes.memory_bytes(pids)

    def with_idle_connections():
        time.sleep(_SETTLE_S)
        return processes.memory_bytes(pids)

    _, held, _ = bench.load(port, "idle", with_idle_connections, connections=plan.idle_connections)
    return {"rest_rss_bytes": rest["rss"] / proxies, "rest_pss_bytes": rest["pss"] / proxies,
            "rest_private_bytes": rest["private"] / proxies,
            "idle_pss_bytes": (held["pss"] - rest["pss"]) / plan.idle_connections}
