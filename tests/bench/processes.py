"""Starting, watching and ending processes, and what they have cost so far."""

import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_TICKS = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None)


class Failure(Exception):
    """A sentence for whoever runs the benchmark."""


def peers_directory():
    """Where tests/bench/peers.sh installs."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("LANYARD_BENCH_PEERS") or pathlib.Path(cache) / "lanyard-bench-peers")


def program(name):
    """Its path, or None if it is not installed."""
    system = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
    return shutil.which(name, path=os.pathsep.join((str(peers_directory() / "bin"), *system)))


def free_port():
    """A port nobody listens on, below the range that outgoing connections are given."""
    for _ in range(1000):
        port = random.randrange(12000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no free port between 12000 and 30000 on 127.0.0.1")


class Process:
    """A child in a session of its own, on the given CPUs, its output in a file. A context manager."""

    def __init__(self, command, log, cpus, **options):
        self.command = [str(part) for part in command]
        self.log = pathlib.Path(log)

        def before_exec():
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if cpus:
                os.sched_setaffinity(0, cpus)

        with open(self.log, "wb") as output:
            self.popen = subprocess.Popen(
                self.command, stdin=options.get("stdin", subprocess.DEVNULL), stdout=options.get("stdout", output),
                stderr=output, start_new_session=True, preexec_fn=before_exec, text=True, bufsize=1)

    @property
    def pid(self):
        return self.popen.pid

    def output(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check_alive(self):
        if self.popen.poll() is not None:
            raise Failure(f"{' '.join(self.command)} ended with status {self.popen.returncode}:\n{self.output()}")

    def stop(self):
        for number, grace_s in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.popen.poll() is None:
                self.popen.send_signal(number)
                try:
                    self.popen.wait(grace_s)
                except subprocess.TimeoutExpired:
                    continue
        try:
            os.killpg(self.pid, signal.SIGKILL)  # children it left behind
        except ProcessLookupError:
            pass
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _stat(pid):
    """Fields of /proc/PID/stat from the third on (the second may hold spaces)."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pids):
    """These processes and all their descendants."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(entry.name)[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    members = set(pids)
    while True:
        more = {pid for pid, parent in parents.items() if parent in members} - members
        if not more:
            return sorted(members)
        members |= more


class CpuTime:
    """Seconds of CPU: `total` to the nanosecond from schedstat; user and system in clock ticks."""

    def __init__(self, total=0.0, user=0.0, system=0.0):
        self.total, self.user, self.system = total, user, system

    @staticmethod
    def of(pids):
        used = CpuTime()
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                used.total += int((task / "schedstat").read_text().split()[0]) / 1e9
            fields = _stat(pid)
            used.user += int(fields[11]) / _TICKS
            used.system += int(fields[12]) / _TICKS
        return used

    def since(self, before):
        return CpuTime(self.total - before.total, self.user - before.user, self.system - before.system)


def memory_bytes(pids):
    """Resident (Rss), its proportional share (Pss) and what is private, summed over the processes."""
    sums = {"rss": 0, "pss": 0, "private": 0}
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("Rss", "Pss"):
                sums[name.lower()] += int(value.split()[0]) * 1024
            elif name in ("Private_Clean", "Private_Dirty"):
                sums["private"] += int(value.split()[0]) * 1024
    return sums


def wait_for_echo(port, processes, timeout_s=15):
    """Until a message sent to the port comes back whole; fails when a process ends or time is up."""
    deadline = time.monotonic() + timeout_s
    message = b"E" * 64
    while time.monotonic() < deadline:
        for process in processes:
            process.check_alive()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(message)
                received = b""
                while len(received) < len(message):
                    part = connection.recv(len(message))
                    if not part:
                        break
                    received += part
                if received == message:
                    return
        except OSError:
            pass
        time.sleep(0.02)
    outputs = "\n".join(f"{process.command[0]}:\n{process.output()}" for process in processes)
    raise Failure(f"nothing came back through port {port} within {timeout_s} s:\n{outputs}")
